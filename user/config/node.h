/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a JavaScript module with node. */
#pragma once

#include "base/error.h"

enum node_result {
	NODE_REJECTED = 1, /* node failed to load the module */
};

/*
 * Runs node to load the module (CommonJS or ES), and sets *ret to what the module exports, as the
 * text of a JSON document, which the caller frees. Standard output of the module goes to our
 * standard error. Returns 0; NODE_REJECTED with node's message in @err and, in *ret_line, the line
 * of @path that the message names, or 0; or a negative errno if node is missing, can't be run or
 * takes more than 10 s.
 */
int node_read(const char *path, char **ret, unsigned int *ret_line, struct error *err);
