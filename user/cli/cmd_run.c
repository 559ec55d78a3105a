/* SPDX-License-Identifier: BSD-2-Clause */
/* `run`: from the command line or a file to a supervisor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "cli/command.h"
#include "cli/exporter.h"
#include "stream/log.h"
#include "supervise/supervisors.h"

/* What was asked for, and what that was when it was read first: the services that are run. */
struct source {
	struct invocation *invocation;
	const struct load_result *first;
	char *warnings; /* when it was read last; NULL: memory was short */
};

static const struct run_config *cmd_run_find_service(const struct load_result *loaded,
                                                     const char *service)
{
	for (size_t c = 0; c < loaded->n; c++)
		if (!strcmp(loaded->configs[c].service, service))
			return &loaded->configs[c];
	return NULL;
}

/* What is to be said of the file as it is now, one a line. The caller frees it. */
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
			        "reuseportd: service '%s' of %s is new: SIGUSR2 makes reuseportd "
			        "start it; workers that run go on\n",
			        loaded->configs[c].service, source->invocation->run.file);
	fclose(out);
	return text;
}

/* In the log, as the supervisor must not wait for whoever reads our standard error. Once, and not
 * for each service whose part of the file is read anew. */
static void cmd_run_log_warnings(struct source *source, const struct load_result *loaded)
{
	char *text = cmd_run_warnings_text(source, loaded);

	if (text && *text && (!source->warnings || strcmp(text, source->warnings) != 0))
		log_line("%.*s", (int)strlen(text) - 1, text);
	free(source->warnings);
	source->warnings = text;
}

/* The configuration of one service, read anew. */
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

/* Our own command line, as it was given: argp and main() have moved in argv. */
static int cmd_run_read_self(char ***ret, struct error *err)
{
	_cleanup_file_ FILE *file = fopen("/proc/self/cmdline", "re");
	_cleanup_free_ char *word = NULL;
	size_t room = 0;

	while (file && getdelim(&word, &room, '\0', file) > 0)
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
		r = cmd_run_read_self(&self, err);
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
