/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command_options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/strv.h"
#include "cli/command.h"
#include "cli/service_argument.h"
#include "config/dealing_option.h"
#include "config/deploy_option.h"
#include "config/response_option.h"
#include "config/web_option.h"
#include "core/endpoint.h"
#include "core/schedule_edit.h"

#define PID_MAX (1 << 22)

/* The setters of options that one command has. A row without a member has 0 as its offset: then
 * @member is the whole invocation. */

static int command_options_set_workers(void *member, const struct option_setting *setting,
                                       struct error *err)
{
	struct invocation *invocation = member;
	long n = 0; /* any */

	if (strcmp(setting->value, "any") != 0 &&
	    parse_long(setting->value, 1, RPD_SLOT_MAX, &n) < 0)
		return error_usage(err, "'%s' is neither a number from 1 to %d nor 'any'",
		                   setting->value, RPD_SLOT_MAX);
	invocation->attach.wanted.workers = n;
	invocation->has_workers = true;
	return 0;
}

static int command_options_set_port(void *member, const struct option_setting *setting,
                                    struct error *err)
{
	uint16_t *port = member;
	long n;

	if (parse_long(setting->value, 1, UINT16_MAX, &n) < 0)
		return error_usage(err, "'%s' is not a port", setting->value);
	*port = n;
	return 0;
}

static int command_options_add_address(void *member, const struct option_setting *setting,
                                       struct error *err)
{
	struct discover_wanted *wanted = member;
	struct rpd_endpoint named = {};
	int family;

	if (endpoint_parse_address(setting->value, &family, named.addr) < 0)
		return error_usage(err, "'%s' is not an IPv4 or IPv6 address", setting->value);
	if (wanted->n_addresses == RPD_ENDPOINT_MAX)
		return error_usage(err, "a service has at most %d addresses", RPD_ENDPOINT_MAX);
	named.family = family;
	wanted->addresses[wanted->n_addresses++] = named;
	return 0;
}

static int command_options_set_pid(void *member, const struct option_setting *setting,
                                   struct error *err)
{
	uint32_t *pid = member;
	long n;

	if (parse_long(setting->value, 1, PID_MAX, &n) < 0)
		return error_usage(err, "'%s' is not a process ID", setting->value);
	*pid = n;
	return 0;
}

static int command_options_set_share(void *member, const struct option_setting *setting,
                                     struct error *err)
{
	if (parse_tenths(setting->value, 1, 999, member) < 0)
		return error_usage(err, "'%s' is not a percentage from 0.1 to 99.9 in steps of 0.1",
		                   setting->value);
	return 0;
}

static int command_options_add_fd(void *member, const struct option_setting *setting,
                                  struct error *err)
{
	struct invocation *invocation = member;
	long n;

	if (parse_long(setting->value, 0, 1 << 30, &n) < 0)
		return error_usage(err, "'%s' is not a descriptor number", setting->value);
	if (invocation->n_fds == INVOCATION_FDS_MAX)
		return error_usage(err, "a service has at most %d endpoints", INVOCATION_FDS_MAX);
	invocation->fds[invocation->n_fds++] = n;
	return 0;
}

static int command_options_set_service(void *member, const struct option_setting *setting,
                                       struct error *err)
{
	return service_argument_find(setting->value, member, err);
}

static int command_options_set_label(void *member, const struct option_setting *setting,
                                     struct error *err)
{
	int r = schedule_edit_check_label(setting->value, err);

	return r < 0 ? r : option_set_borrowed(member, setting, err);
}

/* An option of config/run_option.h, which args_load() interprets. */
static int command_options_add_run_option(void *member, const struct option_setting *setting,
                                          struct error *err)
{
	return args_add(member, setting->row->name, setting->value);
}

/* An option of config/deploy_option.h, for the supervisor, which has the service's settings. */
static int command_options_add_setting(void *member, const struct option_setting *setting,
                                       struct error *err)
{
	const struct option_row *row = option_find(deploy_options, setting->row->name);
	char word[64 + DEPLOY_STEPS_MAX];
	struct deploy_settings checked;
	int r;

	deploy_settings_init(&checked);
	r = row->set((char *)&checked + row->at, setting, err);
	if (r < 0)
		return r;
	snprintf(word, sizeof(word), "%s=%s", row->name, setting->value ? setting->value : "yes");
	return strv_append(member, word);
}

#define AT(member) offsetof(struct invocation, member)

/* Rows that several commands have. */
#define JSON "json", NULL, "Print JSON", option_set_flag, AT(json), .letter = 'j'
#define SERVICE                                                                                    \
	"service", "NAME", "Name of the service (default: the only service on the host)",          \
	        command_options_set_service, AT(service), .letter = 's'
#define FORCE                                                                                      \
	"force", NULL,                                                                             \
	        "Proceed even if no worker is left to take new connections: they are then "        \
	        "refused",                                                                         \
	        option_set_flag, AT(force), .letter = 'f'
#define ONLY                                                                                       \
	"only", "NAME[,NAME]", "Use only these services (PM2: apps) of the file",                  \
	        option_set_borrowed, AT(run.only)
#define IN_PLACE                                                                                   \
	"in-place", NULL,                                                                          \
	        "Drain and stop the old worker before the new one starts, "                        \
	        "for hosts without room for both. While no worker is alive, new connections wait", \
	        option_set_flag, AT(in_place)

const struct option_row command_options_plain[] = {{SERVICE}, {JSON}, {0}};
const struct option_row command_options_force[] = {{SERVICE}, {JSON}, {FORCE}, {0}};
const struct option_row command_options_top[] = {{SERVICE}, {0}};
const struct option_row command_options_list[] = {{JSON}, {0}};
const struct option_row command_options_restart[] = {{SERVICE}, {IN_PLACE}, {JSON}, {0}};

const struct option_row command_options_run_extra[] = {
        {ONLY},
        {"metrics", "ADDRESS:PORT", "Serve the services' metrics for Prometheus at this address",
         option_set_endpoint, AT(listen)},
        {0},
};

const struct option_row command_options_check[] = {
        {ONLY},
        {"env", "NAME",
         "With an ecosystem.config.js: add the variables of the app's `env_NAME` "
         "object to those of its `env` object",
         command_options_add_run_option, AT(run)},
        {"user", "USER", "Check FILE for `run FILE --user USER`", command_options_add_run_option,
         AT(run)},
        {"group", "GROUP", "Check FILE for `run FILE --user USER --group GROUP`",
         command_options_add_run_option, AT(run)},
        {JSON},
        {0},
};

const struct option_row command_options_reload[] = {
        {SERVICE},
        {"batch", "N",
         "Start this many new workers at a time. All old workers stay until every new one "
         "has its slot, so the host needs room for both. With --in-place, replace this many "
         "at a time (default: the --batch of `run`)",
         option_set_number, AT(batch), .min = 1, .max = RPD_SLOT_MAX},
        {IN_PLACE},
        {"keep-going", NULL,
         "If a new worker fails, keep the old worker in its slot, "
         "and continue with the other slots instead of rolling back",
         option_set_flag, AT(keep_going)},
        {"label", "VERSION", "Version of the new workers (default: as before)",
         command_options_set_label, AT(relabel)},
        {"supervisor", "PID",
         "Reload all services of this process of `reuseportd run`, one after the other. "
         "The exit status is 1 if one of them fails",
         option_set_number, AT(supervisor), .min = 1, .max = PID_MAX},
        {JSON},
        {0},
};

const struct option_row command_options_attach[] = {
        {"workers", "N|any",
         "Number of workers that must be found; any: take as many as there are (required)",
         command_options_set_workers, .letter = 'w'},
        {"service", "NAME", "Name of the service (default: PROGRAM-PORT)",
         command_options_set_service, AT(service), .letter = 's'},
        {"port", "PORT", "Attach the workers that listen on this port", command_options_set_port,
         AT(attach.wanted.port), .letter = 'p'},
        {"address", "ADDRESS",
         "Attach only the workers that listen on this address. Repeat it to name several",
         command_options_add_address, AT(attach.wanted), .letter = 'a', .repeatable = true},
        {"pid", "PID",
         "Consider only ports on which this process listens, in the network "
         "namespace of this process",
         command_options_set_pid, AT(attach.wanted.pid)},
        {"wait", "TIME",
         "Wait up to TIME for workers that are still starting. A TIME is, for "
         "example, 30s, 1500ms or 2m; a number alone is in seconds (default: 0)",
         option_set_time, AT(wait)},
        DEALING_OPTION_POLICY(AT(attach.dealing)),
        DEALING_OPTION_REST(AT(attach.dealing), " (default: 3)", " (default: 0, off)"),
        {"strict", NULL,
         "While all workers of the service are dead, refuse new connections. Without this "
         "option, the kernel deals them to the other listeners on the port, by its hash",
         option_set_flag, AT(attach.strict)},
        {"no-count", NULL,
         "Do not count the workers' open connections. "
         "This saves about 3 % of the CPU time that nginx and its client use for a "
         "short connection. "
         "`status` then shows \"-\" for open connections, `metrics` omits them, "
         "and `drain --wait` and `connections` are not available",
         option_set_flag, AT(no_count)},
        RESPONSE_OPTION(AT(attach.http)),
        {"count-max", "N",
         "Count at most N open connections at a time. Connections beyond N are "
         "steered but not counted, and `status` reports this (default: 262144, which "
         "takes 8 MB of memory)",
         option_set_number, AT(count_max), .min = 1, .max = RPD_CONNS_LIMIT},
        {"label", "VERSION", "Version of the workers (default: " RPD_FIRST_LABEL ")",
         command_options_set_label, AT(attach.label)},
        {"watch", NULL,
         "Stay in the foreground: give slots to new workers (with --workers N, only "
         "while one of N slots is free), give no new connection to workers that exit or stall, and "
         "attach the steering program again if another one "
         "has replaced it. Log all of that. SIGTERM ends the watch and "
         "leaves steering in place. If the service is already attached with the same "
         "options, only watch it",
         option_set_flag, AT(watch)},
        {"metrics", "ADDRESS:PORT",
         "With --watch: serve the service's metrics for Prometheus at this address",
         option_set_endpoint, AT(listen)},
        {JSON},
        {0},
};

const struct option_row command_options_detach[] = {
        {SERVICE},
        {"force", NULL,
         "Proceed even if files of the service are damaged, its listeners cannot be "
         "reached, or its supervisor has died. Whatever exists is removed, and workers "
         "keep running",
         option_set_flag, AT(force), .letter = 'f'},
        {JSON},
        {0},
};

const struct option_row command_options_policy[] = {
        {SERVICE},
        DEALING_OPTION_REST(AT(dealing), "", ". 0: off"),
        {JSON},
        {0},
};

const struct option_row command_options_status[] = {
        {SERVICE},
        {"watch", NULL, "Show the live view of `reuseportd top`", option_set_flag, AT(watch)},
        {JSON},
        {0},
};

const struct option_row command_options_metrics[] = {
        {"service", "NAME", "Print the metrics of this service only (default: all services)",
         command_options_set_service, AT(service), .letter = 's'},
        {"listen", "ADDRESS:PORT",
         "Stay in the foreground and serve the metrics over HTTP at this address, "
         "path /metrics; for example at 127.0.0.1:9464 or [::1]:9464. SIGTERM ends it",
         option_set_endpoint, AT(listen)},
        {"min-live", "N|PERCENT",
         "For reuseportd_ready: how many workers make a service ready, see `web`",
         web_option_set_min_live, AT(web.min_live)},
        {0},
};

const struct option_row command_options_web[] = {
        {"listen", "ADDRESS",
         "Serve at this address, for example 127.0.0.1:9465 or [::1]:9465, or on the Unix socket "
         "unix:PATH, which every user of the host may open (required)",
         option_set_http_address, AT(web.address)},
        {"admin", NULL,
         "Allow actions: drain, resume, promote, pause, abort and rollback, for clients that "
         "have the token, and for root on a Unix socket. Each action is in the events of its "
         "service",
         option_set_flag, AT(web.admin)},
        {"token-file", "FILE",
         "File with the token, one line of 16 to 512 characters, which only its owner may read "
         "(mode 0600). Other hosts may then use the address. They need the token for /api and "
         "/text, but not for /ready, /live, /metrics and the files of the page. Without TLS, "
         "others on the network can read the token",
         option_set_borrowed, AT(web.token_file)},
        {"host", "NAME",
         "Also answer requests for this host name. The page, /text and /api need a Host that is "
         "an IP address, localhost or NAME, so that a page of another site can't ask in your "
         "browser. /ready, /live and /metrics need it only on a loopback address, and only if "
         "the request has a Host",
         option_set_borrowed, AT(web.host)},
        {"min-live", "N|PERCENT",
         "A service is ready if at least this many of its workers get new connections: a number, "
         "or a percentage of its slots such as 50%, rounded up (default: 1)",
         web_option_set_min_live, AT(web.min_live)},
        {"agent", "ADDRESS:PORT",
         "Also answer agent checks of HAProxy at this address, one line for each connection, of "
         "all services together: `ready up 75%` (the share of workers that get new connections), "
         "`drain` or `down#REASON`. It needs no token",
         option_set_endpoint, AT(web.agent)},
        {0},
};

const struct option_row command_options_drain[] = {
        {SERVICE},
        {"wait", NULL,
         "Wait until the workers are empty: no handshake under way, nothing in an "
         "accept queue, no open connection. The exit status is then 0. If --timeout "
         "is over first, the remaining connections are listed, and the exit status "
         "is 3. Needs a service that counts connections (see `attach`)",
         option_set_flag, AT(wait_empty)},
        {"timeout", "TIME",
         "With --wait: wait at most TIME (1500ms, 2m, ...); "
         "a number alone is in seconds (default: 30s)",
         option_set_time, AT(timeout)},
        {"close-remaining", NULL,
         "With --wait: when --timeout is over, reset the remaining connections. The "
         "exit status is 0 if all are reset, otherwise 3. Connections of an unknown "
         "worker are never reset. The printed list, and \"remaining\" in JSON, show the "
         "connections before the reset",
         option_set_flag, AT(close_remaining)},
        {FORCE},
        {JSON},
        {0},
};

const struct option_row command_options_drain_host[] = {
        {"lame-duck", "TIME",
         "Time for load balancers to notice that /ready answers 503: longer than the interval of "
         "their checks, the timeout of each check and the pauses between retries together. If the "
         "host is draining already, the time since then counts (default: 10s)",
         option_set_time, AT(lame_duck)},
        {"timeout", "TIME", "Then wait at most TIME for the connections to end (default: 5m)",
         option_set_time, AT(timeout)},
        {"close-remaining", NULL,
         "When --timeout is over, reset the remaining connections. The exit status is 0 if all "
         "are reset, otherwise 3",
         option_set_flag, AT(close_remaining)},
        {JSON},
        {0},
};

const struct option_row command_options_resume_host[] = {
        {JSON},
        {0},
};

const struct option_row command_options_canary[] = {
        {SERVICE},
        {"share", "PERCENT", "Share of new connections that the slots get together, 0.1 to 99.9",
         command_options_set_share, AT(share)},
        {"off", NULL, "End the canary: all slots get the shares of their weights again",
         option_set_flag, AT(off)},
        {JSON},
        {0},
};

const struct option_row command_options_switch[] = {
        {SERVICE},
        {"off", NULL, "Let all versions take new connections again", option_set_flag, AT(off)},
        {FORCE},
        {JSON},
        {0},
};

const struct option_row command_options_swap[] = {
        {SERVICE},
        {"pid", "PID", "Process with the listener that gets the slot (required)",
         command_options_set_pid, AT(swap_pid)},
        {"fd", "FD",
         "Descriptor of the listener in that process, needed if the process has "
         "several listeners on the address and port. If the service has several endpoints, "
         "repeat --fd for each",
         command_options_add_fd, .repeatable = true},
        {JSON},
        {0},
};

const struct option_row command_options_events[] = {
        {SERVICE},
        {"follow", NULL, "Print new events as they happen, until the service is detached",
         option_set_flag, AT(follow)},
        {"json", NULL, "Print JSON; with --follow, one object a line", option_set_flag, AT(json),
         .letter = 'j'},
        {0},
};

#define SETTING(setter, member) command_options_add_setting, AT(settings)

const struct option_row command_options_deploy[] = {
        {SERVICE},
        {"label", "VERSION",
         "Version of the new workers (default: that of the configuration, or the next of v2, v3, "
         "...)",
         command_options_set_label, AT(relabel)},
        DEPLOY_OPTIONS(SETTING),
        {"supersede", NULL,
         "If a deployment is under way, abort it first, and deploy in place of the version that "
         "was there before it",
         option_set_flag, AT(supersede)},
        {"wait", NULL,
         "Print the progress, and return when the deployment has ended or waits for a person "
         "(default on a terminal)",
         option_set_flag, AT(stay)},
        {"detach", NULL, "Return as soon as the deployment has begun (default without a terminal)",
         option_set_flag, AT(leave)},
        {"timeout", "TIME",
         "As --wait, but wait at most TIME; the deployment then goes on, and the exit status is 3 "
         "(default: no limit)",
         option_set_time, AT(timeout)},
        {JSON},
        {0},
};

const struct option_row command_options_rollout[] = {
        {SERVICE},
        {"watch", NULL, "Follow the deployment until it has ended or waits for a person",
         option_set_flag, AT(watch)},
        {"history", NULL, "List the last deployments of the service", option_set_flag, AT(history)},
        {JSON},
        {0},
};

const struct option_row command_options_promote[] = {
        {SERVICE},
        {"full", NULL, "Go to the end at once, without the other steps, and without judging",
         option_set_flag, AT(full)},
        {JSON},
        {0},
};

const struct option_row command_options_abort[] = {
        {SERVICE},
        {"why", "TEXT", "The reason, for `rollout` and the log", option_set_borrowed, AT(why)},
        {JSON},
        {0},
};

const struct option_row command_options_rollback[] = {
        {SERVICE},
        {"to", "VERSION", "Go back to this version (default: the one before the last deployment)",
         command_options_set_label, AT(to)},
        {JSON},
        {0},
};
