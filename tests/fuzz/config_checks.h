/* SPDX-License-Identifier: BSD-2-Clause */
/* What holds for configurations and problems, whichever file they come from. */
#pragma once

#include "config/load.h"

/* @lines: the number of lines that the text has. */
void config_checks_result(const struct load_result *loaded, unsigned int lines);
