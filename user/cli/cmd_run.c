/* SPDX-License-Identifier: BSD-2-Clause */
/* `run`: reads the configuration from the command line or a file, and starts the supervisor. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/strv.h"
#include "cli/command.h"
#include "service/service.h"
#include "supervise/supervisors.h"
#include "web/web_process.h"

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

/* Whether one of the services exists. If its supervisor is dead, this process will take it over. */
static bool cmd_run_finds_service(const struct load_result *loaded)
{
	for (size_t c = 0; c < loaded->n; c++) {
		_cleanup_service_ struct service service;
		struct error ignored;

		service_init(&service);
		if (service_peek(&service, loaded->configs[c].service, &ignored) == 0 &&
		    service_is_run(&service))
			return true;
	}
	return false;
}

/* The processes that serve HTTP. */
struct cmd_run_servers {
	struct web_process_command served[2]; /* the metrics, the page */
	struct web_process processes[2];
	char token_file[PATH_MAX];
};

#define _cleanup_servers_ __attribute__((cleanup(cmd_run_end_servers)))

static void cmd_run_end_servers(struct cmd_run_servers *servers)
{
	for (size_t s = 0; s < ARRAY_SIZE(servers->processes); s++)
		web_process_end(&servers->processes[s]);
}

static void cmd_run_start_servers(sd_event *loop, void *data)
{
	struct cmd_run_servers *servers = data;

	for (size_t s = 0; s < ARRAY_SIZE(servers->processes); s++)
		web_process_start(loop, &servers->processes[s]);
}

static void cmd_run_kill_servers(void *data)
{
	struct cmd_run_servers *servers = data;

	for (size_t s = 0; s < ARRAY_SIZE(servers->processes); s++)
		web_process_kill(&servers->processes[s]);
}

/* The token is read by the child; what is wrong with it is to be seen at once. */
static int cmd_run_check_web(const struct web_process_command *web, struct error *err)
{
	struct guard_token ignored;
	int r;

	if (!http_address_is_set(&web->address))
		return web->admin || web->token_file || web->host
		               ? error_usage(err,
		                             "--web-admin, --web-token-file and --web-host "
		                             "need --web")
		               : 0;
	r = web_process_check(web, err);
	return r < 0 || !web->token_file ? r : guard_read_token(web->token_file, &ignored, err);
}

static int cmd_run_bind_servers(struct cmd_run_servers *servers, const struct invocation *i,
                                const struct load_result *loaded, struct error *err)
{
	const bool later = cmd_run_finds_service(loaded);
	int r = cmd_run_check_web(&i->web, err);

	servers->served[0] = (struct web_process_command){
	        .name = "metrics", .what = "the metrics", .address.tcp = i->listen};
	servers->served[1] = i->web;
	servers->served[1].name = "web";
	servers->served[1].what = "the page";
	if (r == 0 && i->web.token_file) /* the child starts in another folder */
		servers->served[1].token_file = realpath(i->web.token_file, servers->token_file);
	for (size_t s = 0; r == 0 && s < ARRAY_SIZE(servers->processes); s++) {
		if (!http_address_is_set(&servers->served[s].address))
			continue;
		if (later)
			web_process_bind_later(&servers->processes[s], &servers->served[s]);
		else
			r = web_process_bind(&servers->processes[s], &servers->served[s], err);
	}
	return r;
}

int cmd_run(struct invocation *i, struct error *err)
{
	_cleanup_servers_ struct cmd_run_servers servers;
	const struct supervisors_companion companion = {
	        .start = cmd_run_start_servers,
	        .kill = cmd_run_kill_servers,
	        .data = &servers,
	};
	_cleanup_load_result_ struct load_result loaded = {};
	_cleanup_free_ struct supervisor_request *requests = NULL;
	_cleanup_strv_ char **self = NULL;
	int r;

	for (size_t s = 0; s < ARRAY_SIZE(servers.processes); s++)
		web_process_init(&servers.processes[s]);
	i->run.keep_faulty = true;
	r = args_load(&i->run, &loaded, err);
	/* One service that can't be started does not keep the others from it. */
	if (r == 0 && load_all_are_faulty(&loaded) && !cmd_run_finds_service(&loaded)) {
		load_free(&loaded);
		i->run.keep_faulty = false;
		r = args_load(&i->run, &loaded, err);
	}
	problems_print(stderr, &loaded.problems, false, true);
	if (r == 0)
		r = cmd_run_read_command_line(&self, err);
	if (r == 0)
		r = cmd_run_bind_servers(&servers, i, &loaded, err);
	if (r < 0)
		return r;
	requests = calloc(loaded.n, sizeof(*requests));
	if (!requests)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t c = 0; c < loaded.n; c++)
		requests[c] = (struct supervisor_request){
		        .config = &loaded.configs[c],
		        .args = i->run.file ? &i->run : NULL,
		        .loaded = &loaded,
		        .self = self,
		};
	return supervisors_run(requests, loaded.n, &companion, err);
}
