/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of `run`: options and a command, or a file. */
#pragma once

#include <stdbool.h>

#include "config/load.h"

/* An option of the command line. */
struct args_option {
	const char *name, *value; /* value: NULL = a flag without one */
};

/* The parsed command line. No file has been read yet. All strings belong to the command line. */
struct args {
	struct args_option *options; /* in order */
	size_t n_options;
	const char *file; /* NULL: there is a command */
	const char *only; /* --only */
	char **command;   /* argv of the workers; NULL: there is a file */
	/* A service of the file with an env file or cwd that can't be read is loaded, with the
	 * reason (run_config.fault), and a warning is given. Otherwise that is an error. */
	bool keep_faulty;
};

/* Appends an option of run_option.h. -ENOMEM. */
int args_add(struct args *args, const char *name, const char *value);

/*
 * Makes the configurations: complete, with their names; run_config_check() accepts each of them.
 * Reads the file, if there is one; JavaScript is run by node. May be called again, to read the file
 * again.
 *
 * error_usage() with everything that is wrong. ret->problems has the same errors, and the warnings.
 * The caller frees @ret by load_free(), also after an error.
 */
int args_load(const struct args *args, struct load_result *ret, struct error *err);

void args_free(struct args *args);
