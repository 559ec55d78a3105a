/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of PM2, as JSON; after an empty line, what node says of a file. The functions of the host
 * that the loader calls are replaced: all paths without an 'x' exist. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/node.h"
#include "config/pm2.h"
#include "config_checks.h"
#include "fuzz.h"

static bool inside; /* the loader: the same functions are libFuzzer's, too */

void __wrap_load_host_problems(const struct run_config *config,
                               void (*report)(void *data, const char *option, const char *text),
                               void *data);
int __wrap_load_find_program(const struct run_config *config, struct error *err);
int __wrap_load_environment(struct load_result *loaded, const char **ret_option, struct error *err);
int __wrap_node_version(const struct node_request *request);
int __real_stat(const char *path, struct stat *ret);
int __wrap_stat(const char *path, struct stat *ret);
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

void __wrap_load_host_problems(const struct run_config *config,
                               void (*report)(void *data, const char *option, const char *text),
                               void *data)
{
}

int __wrap_load_find_program(const struct run_config *config, struct error *err)
{
	return config->argv && config->argv[0][0] == 'x' ? error_usage(err, "there is none") : 0;
}

int __wrap_load_environment(struct load_result *loaded, const char **ret_option, struct error *err)
{
	return 0;
}

int __wrap_node_version(const struct node_request *request)
{
	return request->user ? 20020 : 22018;
}

int __wrap_stat(const char *path, struct stat *ret)
{
	if (!inside)
		return __real_stat(path, ret);
	*ret = (struct stat){.st_mode = S_IFREG | 0755};
	return strchr(path, 'x') ? -1 : 0;
}

int __wrap_access(const char *path, int mode)
{
	if (!inside)
		return __real_access(path, mode);
	return strchr(path, 'x') ? -1 : 0;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	static char head[] = "#!/bin/sh\n";

	if (!inside)
		return __real_fopen(path, mode);
	return strchr(path, 'x') ? NULL : fmemopen(head, sizeof(head), "r");
}

static void run(const char *text, size_t size)
{
	const struct load_file file = {
	        .path = "/",
	        .n_cpus = 4,
	        .only = text[0] == ' ' ? "a,web" : NULL,
	        .env = size % 2 ? "production" : NULL,
	};
	struct load_result loaded = {};
	unsigned int lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	inside = true;
	if (text[0] == '\n')
		pm2_load_answer(&file, text, &loaded);
	else
		pm2_load_text(&file, text, &loaded);
	inside = false;
	config_checks_result(&loaded, lines);
	load_free(&loaded);
}

const struct fuzz_target fuzz_target = {run, 64};
