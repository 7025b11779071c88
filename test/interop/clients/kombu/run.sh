#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kombu over py-amqp, both pinned, from PyPI.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

python_client kombu==5.7.0 amqp==5.4.2
