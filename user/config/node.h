/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a JavaScript module with node. The module is a program: it runs with the rights of a user,
 * and for a limited time. */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct node_request {
	const char *path;
	bool is_text; /* the file is no module, but one JavaScript expression, such as JSON5 */
	const char *user, *group; /* it has the rights of this user; NULL = ours */
};

/*
 * What node says of the file, as a JSON document of one object:
 *   exports: what the module exports, or the value of the expression
 *   env: the variables that the file has added to process.env, or changed
 *   removed: the names of the variables that it has deleted
 *   functions: the names of functions in an object `env` or `env_NAME`, which are left out
 */
struct node_answer {
	char *text;
	char *printed; /* the beginning of what the module printed to standard output, or NULL */
	unsigned int line; /* with NODE_REJECTED: the line that the message names, or 0 */
};

enum node_result {
	NODE_REJECTED = 1, /* node failed to load the module */
};

/*
 * Runs node to load the module (CommonJS or ES) or to evaluate the expression, without any
 * capability, with the environment of kern/user_env.h, and for at most 10 s. None of its processes
 * is left afterwards. Returns 0 with *ret, the caller frees its texts; NODE_REJECTED with node's
 * message in @err; or a negative errno if node is missing, can't be run, takes too long or exports
 * more than FILE_READ_CONFIG_MAX.
 */
int node_read(const struct node_request *request, struct node_answer *ret, struct error *err);

/* Asks node, as the user of @request, for its version. Returns 1000 * major + minor, for example
 * 22018, or a negative errno: -ENOENT without node. */
int node_version(const struct node_request *request);
