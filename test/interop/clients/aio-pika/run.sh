#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# aio-pika and what it stands on, pinned, from PyPI.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

python_client aio-pika==10.2.1 aiormq==7.2.4 pamqp==4.0.1
