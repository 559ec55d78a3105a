/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/run_option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "config/dealing_option.h"
#include "config/deploy_option.h"
#include "config/response_option.h"
#include "config/web_option.h"
#include "core/cron.h"
#include "core/endpoint.h"
#include "core/env.h"
#include "core/schedule_edit.h"
#include "core/service_name.h"

#define COUNT_MAX 1000000

/* The setters of the options that only `run` has. A row without a member has 0 as its offset: then
 * @member is the whole configuration. */

static int run_option_set_no_restart(void *member, const struct option_setting *setting,
                                     struct error *err)
{
	bool off = false, *restart = member;
	int r = option_set_flag(&off, setting, err);

	if (r == 0)
		*restart = !off;
	return r;
}

static int run_option_set_log_prefix(void *member, const struct option_setting *setting,
                                     struct error *err)
{
	enum run_log *log = member;
	bool on = false;
	int r = option_set_flag(&on, setting, err);

	if (r == 0)
		*log = on ? RUN_LOG_PREFIX : RUN_LOG_PLAIN;
	return r;
}

static int run_option_set_service(void *member, const struct option_setting *setting,
                                  struct error *err)
{
	int r = service_name_check(setting->value, err);

	if (r == 0)
		strcpy(member, setting->value);
	return r;
}

static int run_option_set_label(void *member, const struct option_setting *setting,
                                struct error *err)
{
	int r = schedule_edit_check_label(setting->value, err);

	if (r == 0)
		strcpy(member, setting->value);
	return r;
}

static int run_option_set_listen(void *member, const struct option_setting *setting,
                                 struct error *err)
{
	struct run_config *config = member;
	struct rpd_endpoint endpoint = {};
	long port;

	if (parse_long(setting->value, 1, UINT16_MAX, &port) == 0)
		endpoint.port = port;
	else if (endpoint_parse(setting->value, &endpoint) < 0)
		return error_usage(err,
		                   "'%s' is neither a port nor an address with a port, such as "
		                   "8080, 127.0.0.1:8080 or [::1]:8080",
		                   setting->value);
	if (config->n_listens == RPD_ENDPOINT_MAX)
		return error_usage(err, "a service has at most %d", RPD_ENDPOINT_MAX);
	config->listens[config->n_listens++] = endpoint;
	return 0;
}

static int run_option_set_workers(void *member, const struct option_setting *setting,
                                  struct error *err)
{
	unsigned int *workers = member;
	long n = setting->n_cpus < RPD_SLOT_MAX ? setting->n_cpus : RPD_SLOT_MAX;

	if (strcmp(setting->value, "max") != 0 &&
	    parse_long(setting->value, 1, RPD_SLOT_MAX, &n) < 0)
		return error_usage(err, "'%s' is neither a number from 1 to %d nor 'max'",
		                   setting->value, RPD_SLOT_MAX);
	*workers = n;
	return 0;
}

static int run_option_set_kill_mode(void *member, const struct option_setting *setting,
                                    struct error *err)
{
	bool *mixed = member;

	if (strcmp(setting->value, "all") != 0 && strcmp(setting->value, "mixed") != 0)
		return error_usage(err, "'%s' is neither 'all' nor 'mixed'", setting->value);
	*mixed = setting->value[0] == 'm';
	return 0;
}

static int run_option_set_env(void *member, const struct option_setting *setting, struct error *err)
{
	if (!env_is_setting(setting->value))
		return error_usage(err,
		                   "'%s' is not NAME=VALUE: a name has only letters, digits and _, "
		                   "and quotes are not removed",
		                   setting->value);
	return env_set(member, setting->value);
}

static int run_option_check_variable(const struct option_setting *setting, struct error *err)
{
	return *setting->value && !strchr(setting->value, '=')
	               ? 0
	               : error_usage(err, "'%s' is not the name of a variable", setting->value);
}

static int run_option_set_variable(void *member, const struct option_setting *setting,
                                   struct error *err)
{
	int r = run_option_check_variable(setting, err);

	return r < 0 ? r : option_set_text(member, setting, err);
}

static int run_option_set_variables(void *member, const struct option_setting *setting,
                                    struct error *err)
{
	int r = run_option_check_variable(setting, err);

	return r < 0 ? r : option_set_list(member, setting, err);
}

/* KIND, or KIND:ARGUMENT for kinds with an argument. */
static int run_option_set_ready(void *member, const struct option_setting *setting,
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
	struct run_config *config = member;

	for (enum ready_kind kind = 0; kind < READY_KIND_MAX; kind++) {
		char *argument;

		if (strlen(kinds[kind].name) != length || colon != kinds[kind].argument ||
		    strncmp(setting->value, kinds[kind].name, length) != 0)
			continue;
		if (kind == READY_ALIVE &&
		    option_parse_time(setting->value + length + 1, &config->alive_after, err) < 0)
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
	                   "'%s' is not one of listen, notify, message, tcp, http:PATH, "
	                   "exec:COMMAND and alive:TIME",
	                   setting->value);
}

static int run_option_set_backoff(void *member, const struct option_setting *setting,
                                  struct error *err)
{
	_cleanup_free_ char *copy = strdup(setting->value);
	char *dots = copy ? strstr(copy, "..") : NULL;
	struct run_config *config = member;
	int64_t min = 0, max = 0;
	int r;

	if (!copy)
		return -ENOMEM;
	if (!dots)
		return error_usage(err, "'%s' is not a range of times such as 100ms..15s",
		                   setting->value);
	*dots = '\0';
	r = option_parse_time(copy, &min, err);
	if (r == 0)
		r = option_parse_time(dots + 2, &max, err);
	if (r < 0)
		return r;
	config->backoff_min = min;
	config->backoff_max = max;
	return 0;
}

static int run_option_set_cron(void *member, const struct option_setting *setting,
                               struct error *err)
{
	struct cron cron;
	int r = cron_parse(setting->value, &cron, err);

	if (r == 0 && cron_next(&cron, 0, 0) < 0)
		return error_usage(err, "'%s' never occurs", setting->value);
	return r < 0 ? r : option_set_text(member, setting, err);
}

static int run_option_set_in_place(void *member, const struct option_setting *setting,
                                   struct error *err)
{
	enum run_in_place *in_place = member;
	bool on = false;
	int r = option_set_flag(&on, setting, err);

	if (r == 0)
		*in_place = on ? RUN_IN_PLACE_YES : RUN_IN_PLACE_NO;
	return r;
}

/* Numbers, separated by commas. A later value replaces an earlier one. */
static int run_option_set_stop_exit_codes(void *member, const struct option_setting *setting,
                                          struct error *err)
{
	struct run_config *config = member;
	uint64_t codes[ARRAY_SIZE(config->stop_exit_codes)] = {};
	_cleanup_free_ char *copy = strdup(setting->value);
	char *rest = copy, *word;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ","))) {
		long code;

		word += strspn(word, " \t");
		word[strcspn(word, " \t")] = '\0';
		if (parse_long(word, 0, RUN_EXIT_MAX - 1, &code) < 0)
			return error_usage(err,
			                   "'%s' is not a list of exit statuses from 0 to %d, such "
			                   "as 0 or 0,143",
			                   setting->value, RUN_EXIT_MAX - 1);
		codes[code / 64] |= (uint64_t)1 << code % 64;
	}
	memcpy(config->stop_exit_codes, codes, sizeof(codes));
	return 0;
}

static int run_option_set_cpu_limit(void *member, const struct option_setting *setting,
                                    struct error *err)
{
	unsigned int *limit = member;
	long permille;

	/* The sign is required: without it, 0.5 could mean half a CPU. */
	if (!strchr(setting->value, '%') ||
	    parse_tenths(setting->value, 1, 1000 * 1000, &permille) < 0)
		return error_usage(err, "'%s' is not a percentage of one CPU such as 50%% or 200%%",
		                   setting->value);
	*limit = permille;
	return 0;
}

#define AT(member)                offsetof(struct run_config, member)
#define AT_DEPLOY(setter, member) setter, AT(deploy.member)

const struct option_row run_options[] = {
        {"service", "NAME",
         "Name of the service (default: the program's name, followed by -PORT if --listen is "
         "given once)",
         run_option_set_service, AT(service)},
        {"workers", "N|max",
         "Number of workers; max: one for each CPU that this process may use, by its affinity "
         "and by the CPU quota of its cgroup, rounded up (required, except with FILE, where each "
         "section sets it; an app of PM2 has 1 unless it sets instances)",
         run_option_set_workers, AT(workers)},
        {"listen", "PORT|ADDRESS:PORT",
         "Steer only listeners on this port, or on this address and port. The environment variable "
         "PORT of the workers is set to the first port given. May be repeated (default: every "
         "address on which most of the workers listen, except ports that the kernel chose)",
         run_option_set_listen, .repeatable = true},
        {"pass-sockets", NULL,
         "Open the listeners that --listen names, and pass them to the workers as "
         "systemd does (LISTEN_FDS)",
         option_set_flag, AT(pass_sockets)},
        DEALING_OPTION_POLICY(AT(dealing)),
        DEALING_OPTION_REST(AT(dealing), " (default: 3)", " (default: 0, off)"),
        {"no-count", NULL,
         "Do not count connections in the kernel. `status` then shows \"-\" for open connections, "
         "and `connections` and `drain --wait` are not available. `reload`, `restart`, `scale` and "
         "`stop SLOT` still drain: they wait until no process of the worker has a connection of "
         "the service open",
         option_set_flag, AT(no_count)},
        RESPONSE_OPTION(AT(http)),
        {"label", "VERSION", "Version of the workers (default: " RPD_FIRST_LABEL ")",
         run_option_set_label, AT(label)},

        {"env", "NAME=VALUE",
         "Set a variable in the workers' environment. May be repeated. With an "
         "ecosystem.config.js, give only a NAME: the variables of the app's `env_NAME` "
         "object are added to those of the app's `env` object",
         run_option_set_env, AT(env), .repeatable = true},
        {"env-file", "FILE",
         "Set the variables in FILE, which has a line NAME=VALUE for each; --env takes precedence. "
         "May be repeated",
         option_set_list, AT(env_files), .repeatable = true},
        {"increment-var", "NAME",
         "Add the slot number of each worker to the value of this variable, or to 0 if it "
         "is not set. May be repeated",
         run_option_set_variables, AT(increment_vars), .repeatable = true},
        {"instance-var", "NAME",
         "Name of the variable with the slot number of the worker (default: NODE_APP_INSTANCE)",
         run_option_set_variable, AT(instance_var)},
        {"user", "USER",
         "Run the workers as this user (name or number). With FILE, it is the user of all "
         "services, whatever FILE sets. Default: the user that FILE sets; if it sets none, the one "
         "user other than root that owns FILE, a folder above it or a link on its path (with two "
         "such users, FILE is refused); otherwise, and without FILE, the user that runs "
         "reuseportd",
         option_set_text, AT(user)},
        {"group", "GROUP",
         "Run the workers in this group (name or number); with FILE, give --user as well "
         "(default: all groups of the user)",
         option_set_text, AT(group)},
        {"cwd", "FOLDER", "Run the workers in this folder", option_set_text, AT(cwd)},
        {"out-file", "FILE",
         "Append the workers' standard output to FILE, with -SLOT inserted before the extension. "
         "Missing folders are created (default: the supervisor's standard output)",
         option_set_text, AT(out_file)},
        {"error-file", "FILE",
         "Append the workers' standard error to FILE, with -SLOT inserted before the "
         "extension. Missing folders are created (default: the supervisor's standard error)",
         option_set_text, AT(error_file)},
        {"log-file", "FILE",
         "Also append the workers' standard output and standard error to FILE, with -SLOT "
         "inserted before the extension. Missing folders are created. The output still goes to "
         "--out-file and --error-file, or to the supervisor's output",
         option_set_text, AT(log_file)},
        {"merge-logs", NULL,
         "Let all workers write to the same files: insert no -SLOT into the names of "
         "--out-file, --error-file and --log-file",
         option_set_flag, AT(merge_logs)},
        {"log-prefix", NULL,
         "Begin each line that a worker prints with SERVICE.SLOT and a bar, in log files too",
         run_option_set_log_prefix, AT(log)},

        {"ready", "HOW",
         "When a worker is ready. listen: when it listens; notify: when it sends READY=1 "
         "as to systemd (sd_notify); message: when it calls process.send('ready') of "
         "Node; http:PATH: when it answers GET PATH with a status of 2xx or 3xx; tcp: "
         "when it accepts a connection; exec:COMMAND: when this shell command succeeds; "
         "alive:TIME: when it listens, or after TIME even if it does not listen. "
         "On which ports a worker must listen: see Readiness in reuseportd(8) (default: listen)",
         run_option_set_ready},
        {"ready-timeout", "TIME",
         "Treat a worker that is not ready after this time as failed (default: 30s)",
         option_set_time, AT(ready_timeout)},
        {"settle", "TIME",
         "On a reload, a new worker takes the slot when it is ready, has then stayed "
         "alive for this time, and still listens (default: 1s)",
         option_set_time, AT(settle)},
        {"health-interval", "TIME",
         "Repeat the probe of --ready (http, tcp or exec) at this interval, and replace a worker "
         "that becomes unhealthy (default: 0, no probes after the worker is ready)",
         option_set_time, AT(health_interval)},
        {"health-timeout", "TIME",
         "Treat a single probe as failed if it takes longer (default: 5s)", option_set_time,
         AT(health_timeout)},
        {"health-failures", "N",
         "Treat a worker as unhealthy after this many failed probes in a row (default: 3)",
         option_set_number, AT(health_failures), .min = 1, .max = COUNT_MAX},

        {"stop-signal", "SIGNAL", "Signal that stops a worker (default: SIGTERM)",
         option_set_signal, AT(stop_signal)},
        {"kill-mode", "all|mixed",
         "Processes of a worker that get the stop signal. all: all of them; mixed: its main "
         "process, and the others are killed when that has ended (default: all)",
         run_option_set_kill_mode, AT(kill_mixed)},
        {"shutdown-message", NULL,
         "To stop a worker of Node, send the message \"shutdown\" instead of a signal",
         option_set_flag, AT(shutdown_message)},
        {"drain-signal", "SIGNAL",
         "Send this signal to a worker that is replaced or removed, when the time of "
         "--drain-timeout begins; the command `drain` sends none (default: none)",
         option_set_signal, AT(drain_signal)},
        {"drain-message", NULL,
         "Send the message \"drain\" to a worker of Node that is replaced or removed, when "
         "the time of --drain-timeout begins; the command `drain` sends none",
         option_set_flag, AT(drain_message)},
        {"drain-timeout", "TIME",
         "Time for a worker that is replaced or removed to finish its connections; it is then "
         "stopped, even if some are still open. The time begins when all new workers of a "
         "reload have their slots; with --in-place, `scale` and `stop SLOT` it begins at once. A "
         "worker drained by `drain` is not stopped (default: 30s)",
         option_set_time, AT(drain_timeout)},
        {"kill-timeout", "TIME",
         "Send SIGKILL to a worker that still runs this long after the stop signal (default: 5s). "
         "A worker that the kernel then holds for the same time, and at least for 10 seconds, is "
         "left behind",
         option_set_time, AT(kill_timeout)},
        {"lame-duck", "TIME",
         "After SIGTERM, SIGINT or SIGQUIT, go on for this time as before, while `web` answers "
         "/ready with 503: load balancers send their new connections elsewhere. Then stop each "
         "worker when its connections have ended, at the latest after --drain-timeout. Each "
         "further signal goes to the next step at once: waiting for the connections, stopping, "
         "killing. The command `stop` never waits (default: 0, stop at once)",
         option_set_time, AT(lame_duck)},
        {"park-timeout", "TIME",
         "When the last worker dies, new connections wait. If no worker is ready after "
         "this time, they are reset, and new ones are refused until a worker is ready. "
         "New connections to an endpoint where no worker listens any more also wait; after this "
         "time they are reset, and the endpoint is removed (default: 30s)",
         option_set_time, AT(park_timeout)},

        {"no-restart", NULL,
         "Do not start a worker again after it has exited. When all slots are stopped or failed, "
         "the service ends, unless --cron-restart is given",
         run_option_set_no_restart, AT(restart)},
        {"stop-exit-codes", "N,...",
         "Do not start a worker again after it has exited with one of these statuses, until "
         "`start`, `restart`, `reload` or --cron-restart. A worker that a signal ended has the "
         "status 128 + the signal's number (default: none)",
         run_option_set_stop_exit_codes},
        {"restart-delay", "TIME",
         "Wait this long before a worker that has exited is started again, in addition to "
         "--backoff (default: 0)",
         option_set_time, AT(restart_delay)},
        {"backoff", "MIN..MAX",
         "Wait before a worker that crashes repeatedly is started again: not after the "
         "first crash (see --min-uptime), for MIN after the second in a row, then twice as "
         "long after each further crash, up to MAX (default: 100ms..15s)",
         run_option_set_backoff},
        {"max-restarts", "N",
         "Give up on a slot after this many crashes in a row: its state is then "
         "failed (default: 16)",
         option_set_number, AT(max_restarts), .min = 1, .max = COUNT_MAX},
        {"min-uptime", "TIME",
         "The end of a worker counts as a crash if the worker never became ready, or was ready "
         "for less than this time (with --ready alive, if it ran for less than this time). Its "
         "exit "
         "status does not matter (default: 1s)",
         option_set_time, AT(min_uptime)},
        {"cron-restart", "TIMES",
         "Reload at these times: five fields as in crontab(5), or a name such as @daily",
         run_option_set_cron, AT(cron_restart)},
        {"max-memory", "SIZE", "Replace a worker when its memory exceeds SIZE (for example 300M)",
         option_set_size, AT(max_memory)},
        {"memory-limit", "SIZE", "Limit the memory of each worker; its cgroup enforces the limit",
         option_set_size, AT(memory_limit)},
        {"cpu-limit", "PERCENT",
         "Limit the CPU time of each worker to this percentage of one CPU, for "
         "example 50% or 200%; its cgroup enforces the limit",
         run_option_set_cpu_limit, AT(cpu_limit)},

        {"batch", "N",
         "On a reload, start this many new workers at a time. All old workers stay until "
         "every new one has its slot, so the host needs room for both. With --in-place, "
         "replace this many at a time (default: 2)",
         option_set_number, AT(batch), .min = 1, .max = COUNT_MAX},
        {"in-place", NULL, "On a reload, drain and stop the old worker before the new one starts",
         run_option_set_in_place, AT(in_place)},
        {"max-former", "N",
         "Let at most this many former workers of a slot serve their open connections at the "
         "same time: if several reloads leave more, the oldest one is stopped before its "
         "--drain-timeout (default: 8)",
         option_set_number, AT(max_former), .min = 1, .max = RPD_SLOT_MAX},
        {"keep-going", NULL,
         "If a new worker fails during a reload, keep the old worker in its slot, "
         "and continue with the other slots instead of rolling back",
         option_set_flag, AT(keep_going)},
        DEPLOY_OPTIONS(AT_DEPLOY),
        WEB_OPTIONS(AT),
        {0},
};

_Static_assert(ARRAY_SIZE(run_options) <= RUN_OPTION_MAX, "indices are less");

int run_option_set(struct run_config *config, const char *name, const char *value,
                   unsigned int n_cpus, struct error *err)
{
	const struct option_row *row = option_find(run_options, name);
	const char *near = row ? NULL : option_nearest(run_options, name);

	if (row)
		return option_set(row, config, value, n_cpus, err);
	return error_usage(err, "%s: there is no such option%s%s%s", name,
	                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}
