/* SPDX-License-Identifier: BSD-2-Clause */
/* The script by which node loads the module of node.h, and writes what it exports to descriptor 3.
 */
#pragma once

extern const char node_loader[];
