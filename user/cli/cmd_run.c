/* SPDX-License-Identifier: BSD-2-Clause */
/* `run`: reads the configuration from the command line or a file, and starts the supervisor. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/strv.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "service/service.h"
#include "stream/log.h"
#include "supervise/supervisors.h"
#include "web/web_process.h"

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
	/* The configurations may be freed earlier. */
	char token_file[PATH_MAX], host[256], min_live[8];
};

#define _cleanup_servers_ __attribute__((cleanup(cmd_run_end_servers)))

static void cmd_run_init_servers(struct cmd_run_servers *servers)
{
	memset(servers->served, 0, sizeof(servers->served));
	servers->min_live[0] = '\0';
	web_process_init(&servers->processes[0], "metrics");
	web_process_init(&servers->processes[1], "web");
}

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

static void cmd_run_pass_servers(void *data)
{
	struct cmd_run_servers *servers = data;

	for (size_t s = 0; s < ARRAY_SIZE(servers->processes); s++)
		web_process_pass(&servers->processes[s]);
}

static bool cmd_run_is_same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool cmd_run_webs_agree(const struct run_config *a, const struct run_config *b)
{
	return cmd_run_is_same(a->web, b->web) && a->web_admin == b->web_admin &&
	       cmd_run_is_same(a->web_token_file, b->web_token_file) &&
	       cmd_run_is_same(a->web_host, b->web_host) &&
	       cmd_run_is_same(a->web_agent, b->web_agent);
}

/* Finds the settings of the page in the services' configurations; *ret is NULL if none has them. */
static int cmd_run_find_web(const struct load_result *loaded, const struct run_config **ret,
                            struct error *err)
{
	const struct run_config *first = NULL;

	for (size_t c = 0; c < loaded->n; c++) {
		const struct run_config *config = &loaded->configs[c];

		if (!config->web)
			continue;
		if (first && !cmd_run_webs_agree(first, config))
			return error_usage(err,
			                   "services '%s' and '%s' have different settings of "
			                   "`web`: one process serves the page for all services",
			                   first->service, config->service);
		first = first ? first : config;
	}
	*ret = first;
	return 0;
}

/* The token is read by the child; what is wrong with it is to be seen at once. */
static int cmd_run_set_web(struct cmd_run_servers *servers, const struct run_config *config,
                           struct error *err)
{
	struct web_process_command *served = &servers->served[1];
	struct guard_token ignored;
	int r = http_address_parse(config->web, &served->address, err);

	if (r == 0 && config->web_token_file)
		r = guard_read_token(config->web_token_file, &ignored, err);
	if (r < 0)
		return r;
	served->name = "web";
	served->what = "the page";
	served->admin = config->web_admin;
	if (config->web_host) {
		snprintf(servers->host, sizeof(servers->host), "%s", config->web_host);
		served->host = servers->host;
	}
	if (config->web_agent)
		endpoint_parse(config->web_agent, &served->agent); /* was checked */
	if (config->web_token_file) /* the child starts in another folder */
		served->token_file = realpath(config->web_token_file, servers->token_file);
	return 0;
}

/* How many workers make a service ready; *servers has it in min_live. */
static int cmd_run_read_min_live(struct cmd_run_servers *servers, const struct load_result *loaded,
                                 struct error *err)
{
	const struct run_config *first = NULL;

	for (size_t c = 0; c < loaded->n; c++) {
		const struct run_config *config = &loaded->configs[c];

		if (!config->web_min_live)
			continue;
		if (first && strcmp(first->web_min_live, config->web_min_live) != 0)
			return error_usage(err,
			                   "services '%s' and '%s' have different values of "
			                   "`web-min-live`: one process answers for all services",
			                   first->service, config->service);
		first = first ? first : config;
	}
	if (first)
		snprintf(servers->min_live, sizeof(servers->min_live), "%s", first->web_min_live);
	return 0;
}

/* Settings of the page; *servers has them if they are good. */
static int cmd_run_read_web(struct cmd_run_servers *servers, const struct load_result *loaded,
                            struct error *err)
{
	const struct run_config *web = NULL;
	int r = cmd_run_find_web(loaded, &web, err);

	return r == 0 && web ? cmd_run_set_web(servers, web, err) : r;
}

/* A process that takes services over goes on without a server: supervision matters more. */
static int cmd_run_bind_servers(struct cmd_run_servers *servers, const struct invocation *i,
                                const struct load_result *loaded, struct error *err)
{
	const bool later = cmd_run_finds_service(loaded);
	int r = cmd_run_read_min_live(servers, loaded, err);

	if (r == 0)
		r = cmd_run_read_web(servers, loaded, err);
	if (r == 0 && servers->min_live[0] && !servers->served[1].name && !i->listen.family)
		r = error_usage(err, "`web-min-live` needs `web` or --metrics");
	if (r < 0 && later) {
		log_line("reuseportd: can't serve the page: %s", err->text);
		servers->served[1] = (struct web_process_command){};
		r = 0;
	}
	servers->served[0] = (struct web_process_command){
	        .name = "metrics", .what = "the metrics", .address.tcp = i->listen};
	for (size_t s = 0; s < ARRAY_SIZE(servers->served) && servers->min_live[0]; s++)
		servers->served[s].min_live = servers->min_live;
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

/* A socket unit hands over one socket for all workers: the kernel would choose the worker. */
static int cmd_run_refuse_sockets(struct error *err)
{
	_cleanup_strv_ char **names = NULL;
	const int n = sd_listen_fds_with_names(true, &names);

	if (n <= 0)
		return 0;
	return error_usage(
	        err,
	        "can't use the %s of a socket unit (%s): all workers would share it, and "
	        "nothing could be steered. Disable that unit, and let reuseportd open a "
	        "socket for each worker: with `listen` and `pass-sockets`, workers get "
	        "it as from a socket unit (LISTEN_FDS)",
	        n == 1 ? "socket" : "sockets", names[0]);
}

int cmd_run(struct invocation *i, struct error *err)
{
	_cleanup_servers_ struct cmd_run_servers servers;
	const struct supervisors_companion companion = {
	        .start = cmd_run_start_servers,
	        .pass = cmd_run_pass_servers,
	        .data = &servers,
	};
	_cleanup_load_result_ struct load_result loaded = {};
	_cleanup_free_ struct supervisor_request *requests = NULL;
	_cleanup_strv_ char **self = NULL;
	int r;

	cmd_run_init_servers(&servers);
	r = cmd_run_refuse_sockets(err);
	if (r < 0)
		return r;
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
		r = command_line_read_own(&self, err);
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
