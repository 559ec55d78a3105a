/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loading configurations of `run`: the result that args.h, ini.h and pm2.h fill, and the checks of
 * a configuration that depend on this host.
 */
#pragma once

#include <stddef.h>

#include "base/cleanup.h"
#include "config/problems.h"
#include "core/run_config.h"
#include "kern/file_owner.h"
#include "kern/file_rights.h"

#define _cleanup_load_result_ _cleanup_(load_free)

#define LOAD_SERVICES_MAX 1024
#define LOAD_ENV_MAX      (16 << 20) /* bytes of the files of variables of all services */

struct load_result {
	struct run_config *configs; /* valid only if problems.n_errors is 0 */
	size_t n;
	bool too_many;   /* services; those beyond the limit are not in configs */
	size_t env_size; /* of the files of variables that were read */
	struct problems problems;
};

/* A file, which part of it to load, and which user controls it. */
struct load_file {
	const char *path;
	const char *only; /* services (PM2: apps), separated by commas; NULL = all */
	const char *env;  /* PM2: the NAME of env_NAME; NULL = none */
	unsigned int n_cpus;
	const char *user, *group;       /* --user, --group; NULL = as the file says */
	const struct file_owner *owner; /* another user that controls the file; NULL = none */
	bool keep_faulty;               /* as struct args has it */
};

/* Reads the file with the rights of file->owner, if there is one: the file may be a link. @ret,
 * *ret_size (may be NULL) as of file_read(). */
int load_read_file(const struct load_file *file, char **ret, size_t *ret_size, struct error *err);

/* Whether file->only contains the service (PM2: the app). */
bool load_file_wants(const struct load_file *file, const char *name);

/* Adds a problem for each name of file->only that @has says the file does not have, unless there is
 * an error already. */
void load_check_only(const struct load_file *file, struct problems *problems,
                     bool (*has)(const void *data, const char *name), const void *data);

/* Appends a configuration with defaults; NULL, with a problem, if memory is short or there are
 * LOAD_SERVICES_MAX. Invalidates pointers to the earlier configurations. */
struct run_config *load_add(struct load_result *loaded);

/* Adds a problem if an earlier service has the name of the last one. */
void load_check_name(struct load_result *loaded, unsigned int line);

/* Removes the last configuration. */
void load_drop(struct load_result *loaded);

void load_free(struct load_result *loaded);

/* Assumes the rights of the workers' user (kern/file_rights.h), if we may: for files that this user
 * may have changed. Returns false if the user is unknown, which load_host_problems() reports, or
 * memory is short. */
bool load_assume_rights(const struct run_config *config, struct file_rights *own);

/* Checks what depends on the host: whether user and group exist. Calls @report as
 * run_config_report_problems() does. */
void load_host_problems(const struct run_config *config,
                        void (*report)(void *data, const char *option, const char *text),
                        void *data);

/* Checks that the command's program exists, along the PATH that the workers have after
 * load_environment(). Otherwise sets @err to the line that starting the program would give. Callers
 * only warn, as the file may be for another host. */
int load_find_program(const struct run_config *config, struct error *err);

/* A positive result. */
enum load_env_result {
	LOAD_ENV_DIFFERS = 1, /* a file means something else to dotenv and Node; @err says where */
};

/* For the last configuration: checks that its cwd exists, reads its env_files with the rights of
 * the workers' user, and adds their variables to its env, which takes precedence. Of a variable in
 * several files, the last value holds. Otherwise sets *ret_option to the option at fault;
 * error_usage() with file and line. */
int load_environment(struct load_result *loaded, const char **ret_option, struct error *err);

/* Notes that load_environment() has failed for the last service: as its fault, or as an error. */
void load_note_fault(struct load_result *loaded, const struct load_file *file, unsigned int line,
                     const char *text);

/* Whether no service can be started. */
bool load_all_are_faulty(const struct load_result *loaded);
