/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints the results to standard output: as a table, or as one line of JSON. */
#pragma once

#include "results.h"

void report_json(const struct results *results);
void report_text(const struct results *results);
