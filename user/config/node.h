/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a JavaScript module with node. */
#pragma once

#include "base/error.h"

/*
 * Runs node to load the module (CommonJS or ES) and returns what it exports as the text of a JSON
 * document, which the caller frees. What it prints goes to our standard error. Errors: node isn't
 * there, or takes more than 10 s, or what node said; *ret_line is the line in @path that it named,
 * or 0.
 */
int node_read(const char *path, char **ret, unsigned int *ret_line, struct error *err);
