/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options. An option is one row of a table: the command line, --help, the manual page, the bash
 * completion and the keys of a configuration file are all made from the rows. run_option.h has the
 * rows of `run`, cli/command_options.h those of the other commands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct option_row;

/* What to set an option to. */
struct option_setting {
	const struct option_row *row;
	const char *value;   /* the text of the value; of a flag: NULL, "yes" or "no" */
	unsigned int n_cpus; /* the number of workers that "max" means */
};

struct option_row {
	const char *name;     /* --NAME on the command line, NAME in a file */
	const char *argument; /* what --help calls the value; NULL: a flag */
	const char *help;
	/*
	 * Parses the value and stores it at @member, which is `at` bytes into the structure that
	 * option_set() is given. Returns 0; -EINVAL with the reason in @err (error_usage(), without
	 * the option's name); or -ENOMEM, without a text. A value that is refused changes nothing.
	 */
	int (*set)(void *member, const struct option_setting *setting, struct error *err);
	size_t at;
	char letter;     /* -LETTER on the command line; 0 = none */
	bool repeatable; /* each value is added; of other options the last value holds */
	long min, max;   /* of option_set_number() */
};

/* A table ends with a row that has no name. */
size_t option_count(const struct option_row *table);

/* The option of that name, without dashes; NULL if there is none. */
const struct option_row *option_find(const struct option_row *table, const char *name);

/* The name of the option that a mistyped @name probably means; NULL if none is close. */
const char *option_nearest(const struct option_row *table, const char *name);

/*
 * Sets the option's member of the structure @target. @value: the text; NULL for a flag without a
 * value. Error texts begin with the option's name, without dashes: error_usage(), or -ENOMEM.
 */
int option_set(const struct option_row *row, void *target, const char *value, unsigned int n_cpus,
               struct error *err);

/* Setters, for option_row.set. The comment names the type of the member. */

/* char *: an allocated copy, in place of an earlier one. The value must not be empty. */
int option_set_text(void *member, const struct option_setting *setting, struct error *err);
/* const char *: the value itself, which must outlive the member. */
int option_set_borrowed(void *member, const struct option_setting *setting, struct error *err);
/* char **: appended to the vector (base/strv.h). The value must not be empty. */
int option_set_list(void *member, const struct option_setting *setting, struct error *err);
/* bool: yes or no; without a value, yes. */
int option_set_flag(void *member, const struct option_setting *setting, struct error *err);
/* int64_t: nanoseconds. */
int option_set_time(void *member, const struct option_setting *setting, struct error *err);
/* unsigned int: min to max of the row. */
int option_set_number(void *member, const struct option_setting *setting, struct error *err);
/* uint64_t: bytes. */
int option_set_size(void *member, const struct option_setting *setting, struct error *err);
/* int: the signal's number. */
int option_set_signal(void *member, const struct option_setting *setting, struct error *err);
/* struct rpd_endpoint: an address with a port. */
int option_set_endpoint(void *member, const struct option_setting *setting, struct error *err);
/* struct http_address. */
int option_set_http_address(void *member, const struct option_setting *setting, struct error *err);
/* char *: the same as a text. */
int option_set_http_text(void *member, const struct option_setting *setting, struct error *err);
/* enum rpd_policy. */
int option_set_policy(void *member, const struct option_setting *setting, struct error *err);

/* Parses a time, for setters that take more than one value. @ret: nanoseconds. */
int option_parse_time(const char *text, int64_t *ret, struct error *err);
