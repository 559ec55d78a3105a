/* SPDX-License-Identifier: BSD-2-Clause */
/* All commands, each in one line. */
#pragma once

#include <stdio.h>

/* Prints `reuseportd --help`. */
void command_overview(FILE *out);
