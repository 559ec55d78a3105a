/* SPDX-License-Identifier: BSD-2-Clause */
/* The script with which node loads the module of node.h, and writes its exports to descriptor 3.
 */
#pragma once

extern const char node_loader[];
