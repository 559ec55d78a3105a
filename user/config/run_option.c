/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/run_option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/parse.h"
#include "base/strv.h"
#include "core/cron.h"
#include "core/schedule_edit.h"
#include "core/endpoint.h"
#include "core/env.h"
#include "core/service_name.h"
#include "base/signal_name.h"
#include "core/policy.h"

/* The member that the option is for. */
static void *run_option_member(struct run_config *config, const struct run_setting *setting)
{
	return (char *)config + setting->at;
}

static int run_option_set_text(struct run_config *config, const struct run_setting *setting,
                               struct error *err)
{
	char **at = run_option_member(config, setting), *copy;

	if (!*setting->value)
		return error_usage(err, "its value is empty");
	copy = strdup(setting->value);
	if (!copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

static int run_option_set_list(struct run_config *config, const struct run_setting *setting,
                               struct error *err)
{
	if (!*setting->value)
		return error_usage(err, "its value is empty");
	return strv_append(run_option_member(config, setting), setting->value);
}

static int run_option_get_flag(const struct run_setting *setting, bool *ret, struct error *err)
{
	bool on = true;

	if (setting->value && parse_bool(setting->value, &on) < 0)
		return error_usage(err, "'%s' is neither yes nor no", setting->value);
	*ret = on;
	return 0;
}

static int run_option_set_flag(struct run_config *config, const struct run_setting *setting,
                               struct error *err)
{
	return run_option_get_flag(setting, run_option_member(config, setting), err);
}

static int run_option_set_no_restart(struct run_config *config, const struct run_setting *setting,
                                     struct error *err)
{
	bool off = false;
	int r = run_option_get_flag(setting, &off, err);

	if (r == 0)
		config->restart = !off;
	return r;
}

static int run_option_set_log_prefix(struct run_config *config, const struct run_setting *setting,
                                     struct error *err)
{
	bool on = false;
	int r = run_option_get_flag(setting, &on, err);

	if (r == 0)
		config->log = on ? RUN_LOG_PREFIX : RUN_LOG_PLAIN;
	return r;
}

static int run_option_get_time(const char *value, int64_t *ret, struct error *err)
{
	int r = parse_duration(value, ret);

	if (r == -ERANGE)
		return error_usage(err, "'%s' is more than a year", value);
	return r == 0 ? 0
	              : error_usage(err,
	                            "'%s' is no time such as 30s, 1500ms, 2m, or 30, in seconds",
	                            value);
}

static int run_option_set_time(struct run_config *config, const struct run_setting *setting,
                               struct error *err)
{
	return run_option_get_time(setting->value, run_option_member(config, setting), err);
}

static int run_option_set_size(struct run_config *config, const struct run_setting *setting,
                               struct error *err)
{
	if (parse_size(setting->value, run_option_member(config, setting)) < 0)
		return error_usage(err, "'%s' is no size such as 300M or 2G", setting->value);
	return 0;
}

static int run_option_set_count(struct run_config *config, const struct run_setting *setting,
                                struct error *err)
{
	long n;

	if (parse_long(setting->value, 1, 1000000, &n) < 0)
		return error_usage(err, "'%s' is no number from 1 on", setting->value);
	*(unsigned int *)run_option_member(config, setting) = n;
	return 0;
}

static int run_option_set_signal(struct run_config *config, const struct run_setting *setting,
                                 struct error *err)
{
	if (signal_name_parse(setting->value, run_option_member(config, setting)) < 0)
		return error_usage(err, "'%s' is no signal such as SIGTERM, INT or 15",
		                   setting->value);
	return 0;
}

static int run_option_set_service(struct run_config *config, const struct run_setting *setting,
                                  struct error *err)
{
	int r = service_name_check(setting->value, err);

	if (r == 0)
		strcpy(config->service, setting->value);
	return r;
}

static int run_option_set_label(struct run_config *config, const struct run_setting *setting,
                                struct error *err)
{
	int r = schedule_edit_check_label(setting->value, err);

	if (r == 0)
		strcpy(config->label, setting->value);
	return r;
}

static int run_option_set_listen(struct run_config *config, const struct run_setting *setting,
                                 struct error *err)
{
	struct rpd_endpoint endpoint = {};
	long port;

	if (parse_long(setting->value, 1, UINT16_MAX, &port) == 0)
		endpoint.port = port;
	else if (endpoint_parse(setting->value, &endpoint) < 0)
		return error_usage(err,
		                   "'%s' is no port, and no address with one, such as 8080, "
		                   "127.0.0.1:8080 or [::1]:8080",
		                   setting->value);
	if (config->n_listens == RPD_ENDPOINT_MAX)
		return error_usage(err, "a service has at most %d", RPD_ENDPOINT_MAX);
	config->listens[config->n_listens++] = endpoint;
	return 0;
}

static int run_option_set_workers(struct run_config *config, const struct run_setting *setting,
                                  struct error *err)
{
	long n;

	if (!strcmp(setting->value, "max")) {
		config->workers = setting->n_cpus < RPD_SLOT_MAX ? setting->n_cpus : RPD_SLOT_MAX;
		return 0;
	}
	if (parse_long(setting->value, 1, RPD_SLOT_MAX, &n) < 0)
		return error_usage(err, "'%s' is neither 1 to %d nor 'max'", setting->value,
		                   RPD_SLOT_MAX);
	config->workers = n;
	return 0;
}

static int run_option_set_policy(struct run_config *config, const struct run_setting *setting,
                                 struct error *err)
{
	if (policy_parse(setting->value, &config->policy) < 0)
		return error_usage(err, "'%s' is neither round-robin nor sticky", setting->value);
	return 0;
}

static int run_option_set_env(struct run_config *config, const struct run_setting *setting,
                              struct error *err)
{
	if (!env_is_setting(setting->value))
		return error_usage(err,
		                   "'%s' is not NAME=VALUE; a name has letters, digits and _ only, "
		                   "and there are no quotes around",
		                   setting->value);
	return env_set(&config->env, setting->value);
}

/* KIND, or KIND:ARGUMENT where the kind has one; that of alive is a time. */
static int run_option_set_ready(struct run_config *config, const struct run_setting *setting,
                                struct error *err)
{
	static const struct {
		const char *name;
		bool argument;
	} kinds[READY_KIND_MAX] = {
	        [READY_LISTEN] = {"listen"},     [READY_NOTIFY] = {"notify"},
	        [READY_MESSAGE] = {"message"},   [READY_HTTP] = {"http", true},
	        [READY_TCP] = {"tcp"},           [READY_EXEC] = {"exec", true},
	        [READY_ALIVE] = {"alive", true},
	};
	const size_t length = strcspn(setting->value, ":");
	const bool colon = setting->value[length];

	for (enum ready_kind kind = 0; kind < READY_KIND_MAX; kind++) {
		char *argument;

		if (strlen(kinds[kind].name) != length || colon != kinds[kind].argument ||
		    strncmp(setting->value, kinds[kind].name, length) != 0)
			continue;
		if (kind == READY_ALIVE &&
		    run_option_get_time(setting->value + length + 1, &config->alive_after, err) < 0)
			return -EINVAL;
		argument = colon ? strdup(setting->value + length + 1) : NULL;
		if (colon && !argument)
			return -ENOMEM;
		free(config->ready_argument);
		config->ready_argument = argument;
		config->ready = kind;
		return 0;
	}
	return error_usage(err,
	                   "'%s' is none of listen, notify, message, tcp, http:PATH, "
	                   "exec:COMMAND and alive:TIME",
	                   setting->value);
}

static int run_option_set_backoff(struct run_config *config, const struct run_setting *setting,
                                  struct error *err)
{
	_cleanup_free_ char *copy = strdup(setting->value);
	char *dots = copy ? strstr(copy, "..") : NULL;
	int64_t min = 0, max = 0;
	int r;

	if (!copy)
		return -ENOMEM;
	if (!dots)
		return error_usage(err, "'%s' is no range of times, such as 100ms..15s",
		                   setting->value);
	*dots = '\0';
	r = run_option_get_time(copy, &min, err);
	if (r == 0)
		r = run_option_get_time(dots + 2, &max, err);
	if (r < 0)
		return r;
	config->backoff_min = min;
	config->backoff_max = max;
	return 0;
}

static int run_option_set_cron(struct run_config *config, const struct run_setting *setting,
                               struct error *err)
{
	struct cron cron;
	int r = cron_parse(setting->value, &cron, err);

	if (r == 0 && cron_next(&cron, 0, 0) < 0)
		return error_usage(err, "'%s' is never", setting->value);
	return r < 0 ? r : run_option_set_text(config, setting, err);
}

static int run_option_set_cpu_limit(struct run_config *config, const struct run_setting *setting,
                                    struct error *err)
{
	long permille;

	/* Without its sign, 0.5 might mean half a CPU. */
	if (!strchr(setting->value, '%') ||
	    parse_tenths(setting->value, 1, 1000 * 1000, &permille) < 0)
		return error_usage(err, "'%s' is no percentage of one CPU, such as 50%% or 200%%",
		                   setting->value);
	config->cpu_limit = permille;
	return 0;
}

#define AT(name) offsetof(struct run_config, name)

const struct run_option run_options[] = {
        {"service", "NAME",
         "Name of the service (default: the program's, and \"-PORT\" with one --listen)",
         run_option_set_service},
        {"workers", "N|max", "How many; max: one for each CPU (required)", run_option_set_workers},
        {"listen", "PORT|ADDRESS:PORT",
         "Serve only what the workers listen on here (default: on any fixed port); may be "
         "repeated. The first one's port is in the workers' PORT",
         run_option_set_listen, .repeatable = true},
        {"pass-sockets", NULL,
         "Open the listeners of --listen for the workers, and pass them as systemd does "
         "(LISTEN_FDS)",
         run_option_set_flag, AT(pass_sockets)},
        {"policy", "POLICY",
         "round-robin (default): exactly even; sticky: a client keeps its worker",
         run_option_set_policy},
        {"no-count", NULL,
         "Don't count connections in the kernel: `status` doesn't show them, and a drain goes by "
         "what the worker's processes have open",
         run_option_set_flag, AT(no_count)},
        {"label", "VERSION", "The workers' version (default: " RPD_FIRST_LABEL ")",
         run_option_set_label},

        {"env", "NAME=VALUE",
         "A variable of the workers' environment; may be repeated. With an ecosystem.config.js: "
         "NAME, whose env_NAME is taken, too",
         run_option_set_env, .repeatable = true},
        {"env-file", "FILE",
         "A file with such, one a line; what --env says comes first; may be repeated",
         run_option_set_list, AT(env_files), .repeatable = true},
        {"increment-var", "NAME",
         "To the value that --env gives this variable, each worker's slot is added",
         run_option_set_text, AT(increment_var)},
        {"user", "USER", "Run the workers as this user (name or number)", run_option_set_text,
         AT(user)},
        {"group", "GROUP", "Run the workers in this group (name or number)", run_option_set_text,
         AT(group)},
        {"cwd", "FOLDER", "Run the workers in this folder", run_option_set_text, AT(cwd)},
        {"out-file", "FILE",
         "Append the workers' standard output to FILE; \"-SLOT\" is put into its name",
         run_option_set_text, AT(out_file)},
        {"error-file", "FILE", "Append their standard error to FILE, as with --out-file",
         run_option_set_text, AT(error_file)},
        {"merge-logs", NULL, "All workers write to the same files", run_option_set_flag,
         AT(merge_logs)},
        {"log-prefix", NULL, "Put the worker in front of each line of output",
         run_option_set_log_prefix},

        {"ready", "HOW",
         "When a worker is ready: listen (default): it listens where --listen says, or, "
         "without, on any fixed port and wherever most of the others do; notify: it says so as "
         "to systemd; message: Node's process.send('ready'); http:PATH: GET PATH answers 2xx or "
         "3xx; tcp: it accepts a connection; exec:COMMAND: a shell command succeeds; "
         "alive:TIME: it listens, or has lived that long. In any case it must listen where "
         "--listen says, and where the worker does that it is to replace. With notify, message, "
         "exec and alive it may listen on nothing",
         run_option_set_ready},
        {"ready-timeout", "TIME", "A worker that isn't ready by then has failed (default: 30s)",
         run_option_set_time, AT(ready_timeout)},
        {"settle", "TIME",
         "On a reload: a worker must live that long after it is ready (default: 1s)",
         run_option_set_time, AT(settle)},
        {"health-interval", "TIME",
         "Go on asking, as --ready says (http, tcp, exec), and replace a worker that fails "
         "(default: 0, don't)",
         run_option_set_time, AT(health_interval)},
        {"health-timeout", "TIME",
         "How long an answer may take when --ready or --health-interval asks (default: 5s)",
         run_option_set_time, AT(health_timeout)},
        {"health-failures", "N",
         "How many failures of --health-interval in a row are too many (default: 3)",
         run_option_set_count, AT(health_failures)},

        {"stop-signal", "SIGNAL", "What a drained worker is stopped by (default: SIGTERM)",
         run_option_set_signal, AT(stop_signal)},
        {"shutdown-message", NULL, "Stop it by a message \"shutdown\" to Node instead",
         run_option_set_flag, AT(shutdown_message)},
        {"drain-signal", "SIGNAL", "Sent to a worker when its drain begins", run_option_set_signal,
         AT(drain_signal)},
        {"drain-message", NULL, "A message \"drain\" to Node when its drain begins",
         run_option_set_flag, AT(drain_message)},
        {"drain-timeout", "TIME", "How long to wait for connections to end (default: 30s)",
         run_option_set_time, AT(drain_timeout)},
        {"kill-timeout", "TIME", "From the stop signal to SIGKILL (default: 5s)",
         run_option_set_time, AT(kill_timeout)},
        {"park-timeout", "TIME",
         "How long connections are held while no worker lives (default: 30s)", run_option_set_time,
         AT(park_timeout)},

        {"no-restart", NULL, "Don't start a worker again that ended", run_option_set_no_restart},
        {"restart-delay", "TIME",
         "Wait that long before each restart, in addition to --backoff (default: 0)",
         run_option_set_time, AT(restart_delay)},
        {"backoff", "MIN..MAX",
         "Wait before restarts after crashes in a row: not before the first one, MIN before the "
         "second, then twice as long each time, up to MAX (default: 100ms..15s)",
         run_option_set_backoff},
        {"max-restarts", "N",
         "After so many crashes in a row the worker is left failed "
         "(default: 16)",
         run_option_set_count, AT(max_restarts)},
        {"min-uptime", "TIME", "After that time an end is no crash in a row (default: 1s)",
         run_option_set_time, AT(min_uptime)},
        {"cron-restart", "TIMES", "Reload at these times: five fields as in crontab(5), or @daily",
         run_option_set_cron, AT(cron_restart)},
        {"max-memory", "SIZE", "Replace a worker whose processes have more, such as 300M",
         run_option_set_size, AT(max_memory)},
        {"memory-limit", "SIZE", "What the kernel lets a worker have, at most (cgroup)",
         run_option_set_size, AT(memory_limit)},
        {"cpu-limit", "PERCENT",
         "At most that much of a CPU for each worker, such as 50% or 200% (cgroup)",
         run_option_set_cpu_limit},

        {"batch", "N", "On a reload: how many at a time (default: 2)", run_option_set_count,
         AT(batch)},
        {"in-place", NULL, "On a reload: drain and stop the old one before the new one starts",
         run_option_set_flag, AT(in_place)},
        {"keep-going", NULL, "Don't take back a reload that fails", run_option_set_flag,
         AT(keep_going)},
        {0},
};

_Static_assert(ARRAY_SIZE(run_options) <= RUN_OPTION_MAX, "indices are less");

size_t run_option_count(void)
{
	return ARRAY_SIZE(run_options) - 1;
}

const struct run_option *run_option_find(const char *name)
{
	for (const struct run_option *option = run_options; option->name; option++)
		if (!strcmp(name, option->name))
			return option;
	return NULL;
}

static const char *run_option_name_of(const void *data, size_t i)
{
	return run_options[i].name;
}

const char *run_option_nearest(const char *name)
{
	return nearest_find(name, run_option_name_of, NULL, run_option_count());
}

int run_option_set(struct run_config *config, const char *name, const char *value,
                   unsigned int n_cpus, struct error *err)
{
	const struct run_option *option = run_option_find(name);
	const char *near = option ? NULL : run_option_nearest(name);
	struct run_setting setting = {.value = value, .n_cpus = n_cpus};
	struct error why = {};
	int r;

	if (!option)
		return error_usage(err, "%s: there is no such option%s%s%s", name,
		                   near ? "; is '" : "", near ? near : "", near ? "' meant?" : "");
	if (option->argument && !value)
		return error_usage(err, "%s: it needs a value, %s", name, option->argument);
	setting.at = option->at;
	r = option->set(config, &setting, &why);
	if (r == -ENOMEM)
		return error_set(err, r, "%s: out of memory", name);
	return r < 0 ? error_usage(err, "%s: %s", name, why.text) : 0;
}
