/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "core/env.h"
#include "kern/credentials.h"
#include "kern/file_read.h"
#include "kern/spawn.h"

bool load_file_wants(const struct load_file *file, const char *name)
{
	const size_t length = strlen(name);

	for (const char *at = file->only; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strcspn(at, ",") == length && !strncmp(at, name, length))
			return true;
	}
	return !file->only;
}

void load_check_only(const struct load_file *file, struct problems *problems,
                     bool (*has)(const void *data, const char *name), const void *data)
{
	_cleanup_free_ char *copy = file->only && !problems->n_errors ? strdup(file->only) : NULL;
	char *rest = copy;

	for (char *name; (name = strsep(&rest, ","));)
		if (!has(data, name))
			problems_add(problems, 0, "--only %s: the file has no such service", name);
}

struct run_config *load_add(struct load_result *loaded)
{
	struct run_config *list = loaded->configs;

	if (loaded->n == LOAD_SERVICES_MAX) {
		if (!loaded->too_many)
			problems_add(&loaded->problems, 0, "there are more than %d services",
			             LOAD_SERVICES_MAX);
		loaded->too_many = true;
		return NULL;
	}
	if (!(loaded->n & (loaded->n - 1))) /* 0 or a power of two: full */
		list = realloc(list, (loaded->n ? 2 * loaded->n : 1) * sizeof(*list));
	if (!list) {
		problems_add(&loaded->problems, 0, "out of memory");
		return NULL;
	}
	loaded->configs = list;
	run_config_init(&list[loaded->n]);
	return &list[loaded->n++];
}

void load_check_name(struct load_result *loaded, unsigned int line)
{
	const char *name = loaded->configs[loaded->n - 1].service;

	for (size_t i = 0; i + 1 < loaded->n; i++)
		if (!strcmp(loaded->configs[i].service, name))
			problems_add(&loaded->problems, line, "there are two services named '%s'",
			             name);
}

void load_drop(struct load_result *loaded)
{
	run_config_free(&loaded->configs[--loaded->n]);
}

void load_free(struct load_result *loaded)
{
	while (loaded->n)
		load_drop(loaded);
	free(loaded->configs);
	problems_free(&loaded->problems);
	*loaded = (struct load_result){};
}

bool load_assume_rights(const struct run_config *config, struct file_rights *own)
{
	_cleanup_(credentials_deinit) struct credentials id = {};
	struct error ignored;
	int r = credentials_take(&id, config->user, config->group, config->identity, &ignored);

	if (r == 0)
		r = file_rights_assume(own, &id);
	return r == 0 || r == -EPERM;
}

int load_read_file(const struct load_file *file, char **ret, size_t *ret_size, struct error *err)
{
	_cleanup_file_rights_ struct file_rights own = {};
	_cleanup_(credentials_deinit) struct credentials id = {};
	const struct file_owner *owner = file->owner;
	int r = owner ? credentials_find(&id, owner->user, file_owner_group(owner), err) : 0;

	if (r < 0)
		return r;
	r = file_rights_assume(&own, &id);
	if (r < 0)
		return error_set(err, r, "can't read '%s' as user '%s': %s", file->path,
		                 owner->user, strerror(-r));
	return file_read(file->path, FILE_READ_CONFIG_MAX, ret, ret_size, err);
}

static const char *load_check_folder(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return strerror(errno);
	return S_ISDIR(st.st_mode) ? NULL : strerror(ENOTDIR);
}

static int load_check_cwd(const struct run_config *config, struct error *err)
{
	_cleanup_file_rights_ struct file_rights own = {};
	const char *why;

	load_assume_rights(config, &own);
	why = config->cwd ? load_check_folder(config->cwd) : NULL;
	return why ? error_usage(err, "'%s': %s%s%s", config->cwd, why,
	                         own.assumed ? ", for user " : "", own.assumed ? config->user : "")
	           : 0;
}

void load_host_problems(const struct run_config *config,
                        void (*report)(void *data, const char *option, const char *text),
                        void *data)
{
	struct error err = {};

	if (credentials_check_group(config->group, &err) < 0)
		report(data, "group", err.text);
	if (credentials_check_user(config->user, config->group, &err) < 0)
		report(data, "user", err.text);
}

int load_find_program(const struct run_config *config, struct error *err)
{
	_cleanup_file_rights_ struct file_rights own = {};
	const char *path = env_find(config->env, "PATH");
	int r;

	if (!config->argv || !load_assume_rights(config, &own))
		return 0;
	r = spawn_check_program(config->argv[0], path ? path : getenv("PATH"), config->cwd, err);
	if (r < 0 && err)
		err->text[strcspn(err->text, "\n")] = '\0';
	return r;
}

/* A file that only root can change is read for workers of any user, as systemd does. */
static bool load_may_read_env(const struct run_config *config, const char *path)
{
	struct file_owner owner;

	return !config->limited && file_owner_find(path, &owner, NULL) == 0 &&
	       owner.verdict == FILE_TRUST_OURS;
}

static int load_read_env(const struct run_config *config, const char *path, char **ret,
                         size_t *ret_size, struct error *err)
{
	struct file_rights own = {};
	int r;

	if (!load_assume_rights(config, &own))
		return error_usage(err, "can't read '%s': the user is unknown", path);
	r = file_read(path, FILE_READ_ENV_MAX, ret, ret_size, err);
	if (r == -EACCES && own.assumed) {
		file_rights_restore(&own);
		if (load_may_read_env(config, path))
			r = file_read(path, FILE_READ_ENV_MAX, ret, ret_size, err);
		else
			error_add(err, r, ", for user %s", config->user);
	}
	file_rights_restore(&own);
	return r;
}

/* Appends the variables of one file. @size: of all files so far. */
static int load_add_file(const struct run_config *config, const char *path, char ***env,
                         size_t *size, struct error *err)
{
	_cleanup_strv_ char **more = NULL;
	_cleanup_free_ char *text = NULL;
	unsigned int line;
	size_t n = 0;
	int r = load_read_env(config, path, &text, &n, err);

	if (r < 0)
		return r;
	*size += n;
	if (*size > FILE_READ_ENV_MAX)
		return error_usage(
		        err, "can't read '%s': with the files before it, it has more than %d MB",
		        path, FILE_READ_ENV_MAX >> 20);
	r = env_parse(text, &more, &line);
	if (r == ENV_BAD_LINE)
		return error_usage(
		        err,
		        "line %u of '%s' is not NAME=VALUE: a name has only letters, digits and _, "
		        "and only a comment may follow a quoted value",
		        line, path);
	if (r == 0)
		r = strv_extend(env, more);
	if (r < 0)
		return error_set(err, r, "out of memory");
	TAKE_PTR(more);
	if (!line)
		return 0;
	error_usage(
	        err,
	        "line %u of '%s': dotenv and Node.js read this value otherwise, where # ends it, "
	        "a backslash stays and ` is a quote: write '...' around the value",
	        line, path);
	return LOAD_ENV_DIFFERS;
}

/* Merges all files at once: a file may have a hundred thousand variables. */
static int load_env_files(struct load_result *loaded, struct run_config *config, struct error *err)
{
	_cleanup_strv_ char **env = NULL;
	size_t size = 0;
	int r = 0, outcome = 0;

	for (char **path = config->env_files; path && *path && r >= 0; path++) {
		r = load_add_file(config, *path, &env, &size, err);
		if (r > 0)
			outcome = r;
	}
	loaded->env_size += size;
	if (r >= 0 && loaded->env_size > LOAD_ENV_MAX)
		r = error_usage(err, "the files of all services have more than %d MB",
		                LOAD_ENV_MAX >> 20);
	if (r < 0 || !env)
		return r;
	r = strv_extend(&env, config->env);
	if (r == 0) {
		config->env = NULL;
		r = env_merge(&config->env, env);
	}
	if (r < 0)
		return error_set(err, r, "out of memory");
	TAKE_PTR(env);
	return outcome;
}

int load_environment(struct load_result *loaded, const char **ret_option, struct error *err)
{
	struct run_config *config = &loaded->configs[loaded->n - 1];

	if (load_check_cwd(config, err) < 0) {
		*ret_option = "cwd";
		return -EINVAL;
	}
	*ret_option = "env-file";
	return load_env_files(loaded, config, err);
}

void load_note_fault(struct load_result *loaded, const struct load_file *file, unsigned int line,
                     const char *text)
{
	struct run_config *config = &loaded->configs[loaded->n - 1];
	char where[16] = "";

	if (line)
		snprintf(where, sizeof(where), "%u: ", line);
	if (!file->keep_faulty || config->fault ||
	    asprintf(&config->fault, "%s:%s%s", file->path, where[0] ? where : " ", text) < 0)
		problems_add(&loaded->problems, line, "%s", text);
	else
		problems_warn(&loaded->problems, line, "%s; the service can't be started", text);
}

bool load_all_are_faulty(const struct load_result *loaded)
{
	for (size_t i = 0; i < loaded->n; i++)
		if (!loaded->configs[i].fault)
			return false;
	return loaded->n > 0;
}
