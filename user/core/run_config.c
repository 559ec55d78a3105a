/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/run_config.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/record.h"
#include "base/strv.h"
#include "core/endpoint.h"
#include "core/env.h"
#include "core/http_address.h"
#include "core/service_name.h"

/* The members that are a string, or a vector of strings. */
#define TEXT(name) offsetof(struct run_config, name)
static const size_t texts[] = {
        TEXT(instance_var),   TEXT(cwd),          TEXT(user),         TEXT(group),
        TEXT(identity),       TEXT(out_file),     TEXT(error_file),   TEXT(log_file),
        TEXT(ready_argument), TEXT(cron_restart), TEXT(fault),        TEXT(web),
        TEXT(web_token_file), TEXT(web_host),     TEXT(web_min_live), TEXT(web_agent),
};
static const size_t vectors[] = {TEXT(argv), TEXT(env), TEXT(env_files), TEXT(increment_vars)};

void run_config_init(struct run_config *config)
{
	*config = (struct run_config){
	        .label = RPD_FIRST_LABEL,
	        .ready = READY_LISTEN,
	        .ready_timeout = 30 * NS_PER_S,
	        .settle = NS_PER_S,
	        .health_timeout = 5 * NS_PER_S,
	        .health_failures = 3,
	        .stop_signal = SIGTERM,
	        .drain_timeout = 30 * NS_PER_S,
	        .kill_timeout = 5 * NS_PER_S,
	        .park_timeout = 30 * NS_PER_S,
	        .restart = true,
	        .backoff_min = NS_PER_S / 10,
	        .backoff_max = 15 * NS_PER_S,
	        .max_restarts = 16,
	        .min_uptime = NS_PER_S,
	        .batch = 2,
	        .max_former = 8,
	};
	deploy_settings_init(&config->deploy);
}

/* Each check returns the problem, or NULL. */

static const char *run_config_check_command(const struct run_config *c)
{
	return c->argv && c->argv[0] && *c->argv[0] ? NULL : "a command is missing";
}

static const char *run_config_check_workers(const struct run_config *c)
{
	return c->workers ? NULL : "the number of workers is missing: N, or max";
}

static const char *run_config_check_listens(const struct run_config *c)
{
	for (size_t i = 0; i < c->n_listens; i++)
		for (size_t j = 0; j < i; j++)
			if (endpoint_equal(&c->listens[i], &c->listens[j]))
				return "an endpoint is given twice";
	return NULL;
}

static const char *run_config_check_http(const struct run_config *c)
{
	return c->http && c->no_count ? "needs the counts of connections: remove no-count" : NULL;
}

static const char *run_config_check_pass_sockets(const struct run_config *c)
{
	return !c->pass_sockets || c->n_listens ? NULL : "needs listen, which names the sockets";
}

static const char *run_config_check_ready(const struct run_config *c)
{
	if (c->ready == READY_HTTP && (!c->ready_argument || c->ready_argument[0] != '/'))
		return "the path of http must begin with '/', such as http:/health";
	if (c->ready == READY_EXEC && (!c->ready_argument || !*c->ready_argument))
		return "exec needs a command, such as exec:./check";
	if (c->ready == READY_ALIVE && c->n_listens)
		return "alive is for programs that may listen on nothing, and can't be used with "
		       "listen";
	return NULL;
}

static const char *run_config_check_ready_timeout(const struct run_config *c)
{
	if (!c->ready_timeout)
		return "must be greater than 0";
	return c->ready != READY_ALIVE || c->alive_after < c->ready_timeout
	               ? NULL
	               : "must be longer than the time of ready=alive";
}

static const char *run_config_check_health(const struct run_config *c)
{
	if (!c->health_interval || c->ready == READY_HTTP || c->ready == READY_TCP ||
	    c->ready == READY_EXEC)
		return NULL;
	return "needs ready=http:PATH, tcp or exec:COMMAND";
}

static const char *run_config_check_health_timeout(const struct run_config *c)
{
	return c->health_timeout ? NULL : "must be greater than 0";
}

static bool run_config_is_catchable(int signal)
{
	return signal != SIGKILL && signal != SIGSTOP;
}

static const char *run_config_check_stop_signal(const struct run_config *c)
{
	return c->stop_signal != SIGSTOP && c->stop_signal != SIGCONT
	               ? NULL
	               : "this signal does not end a process";
}

static const char *run_config_check_drain_signal(const struct run_config *c)
{
	return run_config_is_catchable(c->drain_signal) ? NULL
	                                                : "no program can handle this signal";
}

static const char *run_config_check_merge_logs(const struct run_config *c)
{
	return !c->merge_logs || c->out_file || c->error_file || c->log_file
	               ? NULL
	               : "needs out-file, error-file or log-file";
}

static const char *run_config_check_backoff(const struct run_config *c)
{
	return c->backoff_min && c->backoff_min <= c->backoff_max
	               ? NULL
	               : "the first time must be greater than 0, and at most the second";
}

static const char *run_config_check_restarts(const struct run_config *c)
{
	return c->restart || !c->restart_delay ? NULL : "can't be used with restart-delay";
}

static const char *run_config_check_memory(const struct run_config *c)
{
	return !c->memory_limit || c->max_memory <= c->memory_limit
	               ? NULL
	               : "must be at most memory-limit, or it is never reached";
}

static const char *run_config_check_web(const struct run_config *c)
{
	struct http_address address;
	struct error ignored;

	if (!c->web)
		return c->web_admin || c->web_token_file || c->web_host || c->web_agent
		               ? "is missing: web-admin, web-token-file, web-host and web-agent "
		                 "need it"
		               : NULL;
	if (http_address_parse(c->web, &address, &ignored) < 0)
		return "is not an address";
	return http_address_check(&address, c->web_admin, c->web_token_file);
}

static const char *run_config_check_increment(const struct run_config *c)
{
	long number;

	for (char **name = c->increment_vars; name && *name; name++) {
		const char *value = env_find(c->env, *name);

		if (value && parse_long(value, 0, INT_MAX, &number) < 0)
			return "env must set this variable to a number, or not at all";
	}
	return NULL;
}

static const struct {
	const char *option;
	const char *(*check)(const struct run_config *config);
} checks[] = {
        {NULL, run_config_check_command},
        {"workers", run_config_check_workers},
        {"listen", run_config_check_listens},
        {"pass-sockets", run_config_check_pass_sockets},
        {"http", run_config_check_http},
        {"ready", run_config_check_ready},
        {"ready-timeout", run_config_check_ready_timeout},
        {"health-interval", run_config_check_health},
        {"health-timeout", run_config_check_health_timeout},
        {"stop-signal", run_config_check_stop_signal},
        {"drain-signal", run_config_check_drain_signal},
        {"merge-logs", run_config_check_merge_logs},
        {"backoff", run_config_check_backoff},
        {"no-restart", run_config_check_restarts},
        {"max-memory", run_config_check_memory},
        {"increment-var", run_config_check_increment},
        {"web", run_config_check_web},
};

size_t run_config_report_problems(const struct run_config *config,
                                  void (*report)(void *data, const char *option, const char *text),
                                  void *data)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		const char *problem = checks[i].check(config);

		if (!problem)
			continue;
		report(data, checks[i].option, problem);
		n++;
	}
	return n;
}

int run_config_check(const struct run_config *config, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		const char *option = checks[i].option, *problem = checks[i].check(config);

		if (problem)
			return error_usage(err, "%s%s%s", option ? option : "", option ? ": " : "",
			                   problem);
	}
	return 0;
}

bool run_config_stops_at(const struct run_config *config, int status)
{
	return status >= 0 && status < RUN_EXIT_MAX &&
	       config->stop_exit_codes[status / 64] >> (status % 64) & 1;
}

void run_config_set_default_name(struct run_config *config)
{
	const char *slash = strrchr(config->argv[0], '/');

	if (!*config->service)
		service_name_derive(slash ? slash + 1 : config->argv[0],
		                    config->n_listens == 1 ? config->listens[0].port : 0,
		                    config->service);
}

/* Sets all strings of @config to NULL. They belong to another configuration. */
static void run_config_drop_strings(struct run_config *config)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		*(char **)((char *)config + texts[i]) = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		*(char ***)((char *)config + vectors[i]) = NULL;
}

/* Replaces all strings of @config, which it shares with @from, by copies. */
static int run_config_copy_strings(struct run_config *config, const struct run_config *from)
{
	int r = 0;

	run_config_drop_strings(config);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char *text = *(char *const *)((const char *)from + texts[i]);
		char **copy = (char **)((char *)config + texts[i]);

		*copy = text ? strdup(text) : NULL;
		if (text && !*copy)
			return -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(vectors); i++)
		r = strv_copy(*(char **const *)((const char *)from + vectors[i]),
		              (char ***)((char *)config + vectors[i]));
	return r;
}

int run_config_copy(const struct run_config *config, struct run_config *ret)
{
	struct run_config copy = *config;
	const int r = run_config_copy_strings(&copy, config);

	if (r < 0)
		run_config_free(&copy);
	else
		*ret = copy;
	return r;
}

void run_config_set_command(struct run_config *config, char **argv, const char *label)
{
	if (argv) {
		strv_free(config->argv);
		config->argv = argv;
	}
	if (label)
		snprintf(config->label, sizeof(config->label), "%s", label);
}

/* --- to another process */

void run_config_write(const struct run_config *config, FILE *out)
{
	fwrite(config, sizeof(*config), 1, out);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		record_write_text(*(char *const *)((const char *)config + texts[i]), out);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		char *const *v = *(char *const *const *)((const char *)config + vectors[i]);

		for (; v && *v; v++)
			record_write_text(*v, out);
		record_write_text(NULL, out);
	}
}

static int run_config_read_vector(FILE *in, char ***ret)
{
	char *text = NULL;
	int r;

	while ((r = record_read_text(in, &text)) == 0 && text) {
		r = strv_append(ret, text);
		free(TAKE_PTR(text));
		if (r < 0)
			return r;
	}
	return r;
}

int run_config_read(FILE *in, struct run_config *ret)
{
	struct run_config config;
	int r = fread(&config, sizeof(config), 1, in) == 1 ? 0 : -EBADMSG;

	if (r < 0)
		return r;
	run_config_drop_strings(&config);
	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++)
		r = record_read_text(in, (char **)((char *)&config + texts[i]));
	for (size_t i = 0; i < ARRAY_SIZE(vectors) && r == 0; i++)
		r = run_config_read_vector(in, (char ***)((char *)&config + vectors[i]));
	if (r < 0)
		run_config_free(&config);
	else
		*ret = config;
	return r;
}

void run_config_free(struct run_config *config)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*(char **)((char *)config + texts[i]));
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		strv_free(*(char ***)((char *)config + vectors[i]));
	*config = (struct run_config){};
}
