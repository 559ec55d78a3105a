/* SPDX-License-Identifier: BSD-2-Clause */
/* What a command line or a file of `run` came to. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "cli/problems.h"
#include "core/run_config.h"

#define _cleanup_run_loaded_ _cleanup_(run_loaded_free)

struct run_loaded {
	struct run_config *configs; /* of use only if problems.n_errors is 0 */
	size_t n;
	struct problems problems;
};

/* A file, and which part of it. */
struct run_file {
	const char *path;
	const char *only; /* services (PM2: apps), separated by commas; NULL = all */
	const char *env;  /* PM2: the NAME of env_NAME; NULL = none */
	unsigned int n_cpus;
};

/* Whether it is one of file->only. */
bool run_file_wants(const struct run_file *file, const char *name);

/* Appends a configuration with defaults; NULL, with a problem, if memory is short. Pointers to
 * those before it don't stay. */
struct run_config *run_loaded_add(struct run_loaded *loaded);

/* A problem if a service before the last one has its name. */
void run_loaded_check_name(struct run_loaded *loaded, unsigned int line);

/* Drops the last one. */
void run_loaded_drop(struct run_loaded *loaded);

void run_loaded_free(struct run_loaded *loaded);

/* Reads all of a text file. The caller frees *@ret. Returns a negative errno. */
int run_read_file(const char *path, char **ret);

/* What run_config_problems() can't tell, as it depends on the host: whether user, group and cwd are
 * there. Reports as that does. */
void run_host_problems(const struct run_config *config,
                       void (*report)(void *data, const char *option, const char *text),
                       void *data);

/* Whether the command's program is there, by the PATH that workers have after run_env_load(). Fails
 * with what starting one would say, on one line. Worth a warning only, as the file may be for
 * another host. */
int run_program_find(const struct run_config *config, struct error *err);

/* Reads config->env_files, and puts what they have into config->env where it doesn't have it:
 * error_usage() with file and line. Of a variable in several files the last one holds. */
int run_env_load(struct run_config *config, struct error *err);
