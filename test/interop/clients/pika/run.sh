#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pika's blocking connection, pinned, from PyPI.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

python_client pika==1.4.4
