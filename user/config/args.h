/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line of `run`: options and a command, or a file. */
#pragma once

#include <argp.h>

#include "config/load.h"
#include "config/run_option.h"

/* argp's key of the i-th of run_options. */
#define ARGS_KEY 1024

struct run_given {
	const char *name, *value;
};

/* As it was given; nothing has been read yet. All strings are those of the command line. */
struct args {
	struct run_given *given; /* the options, in order */
	size_t n_given;
	const char *file; /* NULL: there is a command */
	const char *only; /* --only */
	char **command;   /* argv of the workers; NULL: there is a file */
};

/* The options of the command line, made from run_options; the last one is empty. @more: those that
 * only the command line has, ended in the same way. The array is static. */
const struct argp_option *args_options(const struct argp_option *more);

/* Notes one. -ENOMEM. */
int args_add(struct args *args, int key, const char *value);

/*
 * Makes the configurations: complete, with their names, and of one that is in @ret without an error
 * run_config_check() is content. Reads files; an ecosystem file that is JavaScript is run by node.
 * May be called again, to read the file anew.
 *
 * error_usage() with everything that is wrong, which is in ret->problems as well, as are warnings.
 * worker_stats_free() is the caller's in any case.
 */
int args_load(const struct args *args, struct load_result *ret, struct error *err);

void args_free(struct args *args);
