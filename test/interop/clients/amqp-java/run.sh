#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# RabbitMQ's Java client, pinned, from Maven Central; the checks are compiled here.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

need javac default-jdk-headless
need mvn maven
dir=$cache/amqp-java
if [ ! -f "$dir/ready" ]; then
    mkdir -p "$dir"
    {
        cat >"$dir/pom.xml" <<'XML' &&
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>weir.interop</groupId><artifactId>amqp</artifactId><version>0</version><packaging>pom</packaging><dependencies>
<dependency><groupId>com.rabbitmq</groupId><artifactId>amqp-client</artifactId><version>5.35.0</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
XML
            mvn -q -B -f "$dir/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
                -DoutputDirectory="$dir/libs" -DincludeScope=runtime && touch "$dir/ready"
    } >"$work/install.log" 2>&1 || notrun "mvn could not fetch it: $(tail -1 "$work/install.log")"
fi
javac -cp "$dir/libs/*" -d "$dir/classes" "$client_dir"/*.java >"$work/build.log" 2>&1 || notrun "javac could not build it: $(tail -1 "$work/build.log")"
amqp_checks java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$dir/classes:$dir/libs/*" Check
