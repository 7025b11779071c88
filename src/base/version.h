// SPDX-License-Identifier: Apache-2.0
//
// Which weir this is: what `weir --version` prints and doors tell their clients.
#ifndef WEIR_BASE_VERSION_H
#define WEIR_BASE_VERSION_H

#define WEIR_VERSION "0.1.0"

#endif
