/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of `reuseportd run`, in one table: the command line, --help and the native
 * configuration file are all made from it, so none has an option that another one lacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/run_config.h"

/* What an option is to be set to. */
struct run_setting {
	const char *value;   /* of a flag: NULL, or "yes" or "no" */
	unsigned int n_cpus; /* what "max" workers are */
	size_t at;           /* run_option.at */
};

struct run_option {
	const char *name;     /* --NAME, and the key in a file */
	const char *argument; /* what --help calls its value; NULL: a flag, which needs none */
	const char *help;
	/* -EINVAL with what is wrong with the value in @err; -ENOMEM, without. */
	int (*set)(struct run_config *config, const struct run_setting *setting, struct error *err);
	size_t at;       /* the member of struct run_config, where @set serves several options */
	bool repeatable; /* each adds to what is there; of others the last one holds */
};

extern const struct run_option run_options[]; /* to the first without a name */

/* How many there are; indices into run_options are less. */
#define RUN_OPTION_MAX 64
size_t run_option_count(void);

/* The option of that name (without dashes), or NULL. */
const struct run_option *run_option_find(const char *name);

/* The name of the option that a mistyped @name was probably meant to be; NULL if none is near. */
const char *run_option_nearest(const char *name);

/*
 * Sets it. @value: as text; of a flag it may be NULL, or yes or no. @n_cpus: what `--workers max`
 * means. The text of an error begins with the option's name, without dashes: error_usage(), or
 * error_set() with -ENOMEM.
 */
int run_option_set(struct run_config *config, const char *name, const char *value,
                   unsigned int n_cpus, struct error *err);
