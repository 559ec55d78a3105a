/* SPDX-License-Identifier: BSD-2-Clause */
/* What a command line or a file of `run` came to. */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "config/problems.h"
#include "core/run_config.h"

#define _cleanup_load_result_ _cleanup_(load_free)

struct load_result {
	struct run_config *configs; /* of use only if problems.n_errors is 0 */
	size_t n;
	struct problems problems;
};

/* A file, and which part of it. */
struct load_file {
	const char *path;
	const char *only; /* services (PM2: apps), separated by commas; NULL = all */
	const char *env;  /* PM2: the NAME of env_NAME; NULL = none */
	unsigned int n_cpus;
};

/* Whether it is one of file->only. */
bool load_file_wants(const struct load_file *file, const char *name);

/* Appends a configuration with defaults; NULL, with a problem, if memory is short. Pointers to
 * those before it don't stay. */
struct run_config *load_add(struct load_result *loaded);

/* A problem if a service before the last one has its name. */
void load_check_name(struct load_result *loaded, unsigned int line);

/* Drops the last one. */
void load_drop(struct load_result *loaded);

void load_free(struct load_result *loaded);

/* Reads all of a text file. The caller frees *@ret. Returns a negative errno. */
int load_read_file(const char *path, char **ret);

/* What run_config_report_problems() can't tell, as it depends on the host: whether user, group and
 * cwd are there. Reports as that does. */
void load_host_problems(const struct run_config *config,
                        void (*report)(void *data, const char *option, const char *text),
                        void *data);

/* Whether the command's program is there, by the PATH that workers have after load_env_files().
 * Fails with what starting one would say, on one line. Worth a warning only, as the file may be for
 * another host. */
int load_find_program(const struct run_config *config, struct error *err);

/* Reads config->env_files, and puts what they have into config->env where it doesn't have it:
 * error_usage() with file and line. Of a variable in several files the last one holds. */
int load_env_files(struct run_config *config, struct error *err);
