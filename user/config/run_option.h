/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of `reuseportd run`, in one table for the command line, --help and the configuration
 * file.
 */
#pragma once

#include "config/option.h"
#include "core/run_config.h"

/* The rows set members of struct run_config. There are at most RUN_OPTION_MAX. */
#define RUN_OPTION_MAX 96
extern const struct option_row run_options[];

/* option_set() by name, without dashes. error_usage() if there is no such option. */
int run_option_set(struct run_config *config, const char *name, const char *value,
                   unsigned int n_cpus, struct error *err);
