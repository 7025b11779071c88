#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# py-amqp, pinned, from PyPI.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

python_client amqp==5.4.2
