/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a JavaScript module with node. The module is a program: it runs with the rights of a user,
 * and for a limited time. */
#pragma once

#include "base/error.h"

struct node_request {
	const char *path;
	const char *user, *group; /* it has the rights of this user; NULL = ours */
};

struct node_answer {
	char *text;    /* the JSON document of what the module exports */
	char *printed; /* the beginning of what the module printed to standard output, or NULL */
	unsigned int line; /* with NODE_REJECTED: the line that the message names, or 0 */
};

enum node_result {
	NODE_REJECTED = 1, /* node failed to load the module */
};

/*
 * Runs node to load the module (CommonJS or ES), without any capability, with the environment of
 * kern/user_env.h, and for at most 10 s. None of its processes is left afterwards. Returns 0 with
 * *ret, the caller frees its texts; NODE_REJECTED with node's message in @err; or a negative errno
 * if node is missing, can't be run, takes too long or exports more than FILE_READ_CONFIG_MAX.
 */
int node_read(const struct node_request *request, struct node_answer *ret, struct error *err);
