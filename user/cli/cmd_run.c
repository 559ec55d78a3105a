/* SPDX-License-Identifier: BSD-2-Clause */
/* `run`: reads the configuration from the command line or a file, and starts the supervisor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strv.h"
#include "cli/command.h"
#include "cli/exporter.h"
#include "stream/log.h"
#include "supervise/supervisors.h"

/* Where the configuration comes from. */
struct source {
	struct invocation *invocation;
	const struct load_result
	        *first; /* as it was read at the start: the services that are run */
	char *warnings; /* of the last time that it was read; NULL if memory was short */
};

static const struct run_config *cmd_run_find_service(const struct load_result *loaded,
                                                     const char *service)
{
	for (size_t c = 0; c < loaded->n; c++)
		if (!strcmp(loaded->configs[c].service, service))
			return &loaded->configs[c];
	return NULL;
}

/* The warnings about the file in its present state, one a line. The caller frees them. NULL if
 * memory is short. */
static char *cmd_run_warnings_text(const struct source *source, const struct load_result *loaded)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	if (!out)
		return NULL;
	problems_print(out, &loaded->problems, false, true);
	for (size_t c = 0; c < loaded->n; c++)
		if (!cmd_run_find_service(source->first, loaded->configs[c].service))
			fprintf(out,
			        "reuseportd: service '%s' of %s is new: send SIGUSR2 to start it; "
			        "running workers go on\n",
			        loaded->configs[c].service, source->invocation->run.file);
	fclose(out);
	return text;
}

/* Warnings go to the log, because the supervisor must not wait for a reader of its standard error.
 * Each service reads its part of the same file again, so warnings that do not change are logged
 * once. */
static void cmd_run_log_warnings(struct source *source, const struct load_result *loaded)
{
	char *text = cmd_run_warnings_text(source, loaded);

	if (text && (!source->warnings || strcmp(text, source->warnings) != 0))
		for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
			log_line("%.*s", (int)strcspn(at, "\n"), at);
	free(source->warnings);
	source->warnings = text;
}

/* Reads the configuration of one service again. */
static int cmd_run_reread(const char *service, struct run_config *ret, void *data,
                          struct error *err)
{
	_cleanup_load_result_ struct load_result loaded = {};
	struct source *source = data;
	struct args *args = &source->invocation->run;
	const struct run_config *config;
	int r = args_load(args, &loaded, err);

	if (r < 0)
		return r;
	cmd_run_log_warnings(source, &loaded);
	config = cmd_run_find_service(&loaded, service);
	if (!config)
		return error_set(err, -ENOENT, "%s has no service '%s' any more", args->file,
		                 service);
	r = run_config_copy(config, ret);
	return r < 0 ? error_set(err, r, "out of memory") : 0;
}

/* The original command line of this process: argp and main() change their argv. */
static int cmd_run_read_command_line(char ***ret, struct error *err)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/cmdline", "re");
	_cleanup_free_ char *word = NULL;
	size_t room = 0;

	while (file && memory_getdelim(&word, &room, '\0', file) > 0)
		if (strv_append(ret, word) < 0)
			return error_set(err, -ENOMEM, "out of memory");
	return *ret ? 0 : error_set(err, -EIO, "can't read /proc/self/cmdline");
}

int cmd_run(struct invocation *i, struct error *err)
{
	_cleanup_exporter_ struct exporter exporter;
	_cleanup_load_result_ struct load_result loaded = {};
	_cleanup_free_ struct supervisor_request *requests = NULL;
	_cleanup_strv_ char **self = NULL;
	struct source source = {i, &loaded, NULL};
	int r = args_load(&i->run, &loaded, err);

	exporter_init(&exporter);
	problems_print(stderr, &loaded.problems, false, true);
	if (r == 0)
		r = cmd_run_read_command_line(&self, err);
	if (r == 0 && i->listen.family)
		r = exporter_bind(&exporter, &i->listen, err);
	if (r == 0 && i->listen.family)
		r = exporter_start(&exporter, NULL, err);
	if (r < 0)
		return r;
	requests = calloc(loaded.n, sizeof(*requests));
	if (!requests)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t c = 0; c < loaded.n; c++)
		requests[c] = (struct supervisor_request){
		        .config = &loaded.configs[c],
		        .reread = i->run.file ? cmd_run_reread : NULL,
		        .data = &source,
		        .self = self,
		};
	source.warnings = cmd_run_warnings_text(&source, &loaded);
	r = supervisors_run(requests, loaded.n, err);
	free(source.warnings);
	return r;
}
