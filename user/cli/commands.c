/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "cli/command.h"
#include "core/endpoint.h"
#include "core/schedule.h"

#define JSON_OPTION                                                                                \
	{                                                                                          \
		"json", OPTION_JSON, NULL, 0, "Print JSON", 0                                      \
	}
#define SERVICE_OPTION                                                                             \
	{                                                                                          \
		"service", OPTION_SERVICE, "NAME", 0,                                              \
		        "The service; may be left out if there is only one on the host", 0         \
	}
#define FORCE_OPTION                                                                               \
	{                                                                                          \
		"force", OPTION_FORCE, NULL, 0,                                                    \
		        "Also if no live worker is left to take new connections, so that they "    \
		        "are refused",                                                             \
		        0                                                                          \
	}
#define END_OF_OPTIONS                                                                             \
	{                                                                                          \
		0                                                                                  \
	}

static const struct argp_option attach_options[] = {
        {"workers", OPTION_WORKERS, "N|any", 0, "How many workers there must be (required)", 0},
        {"service", OPTION_SERVICE, "NAME", 0, "Name of the service (default: PROGRAM-PORT)", 0},
        {"port", OPTION_PORT, "PORT", 0, "Take the workers that listen on this port", 0},
        {"address", OPTION_ADDRESS, "ADDRESS", 0, "Only the group that listens on this address", 0},
        {"pid", OPTION_PID, "PID", 0,
         "Only a port on which this process has a listener, in its network namespace", 0},
        {"wait", OPTION_WAIT, "TIME", 0,
         "Wait that long (30s, 1500ms, 2m; a number alone is in seconds) for workers that are "
         "still starting",
         0},
        {"policy", OPTION_POLICY, "POLICY", 0,
         "round-robin (default): exactly even; sticky: a client keeps its worker", 0},
        {"strict", OPTION_STRICT, NULL, 0,
         "When no admitted worker lives, refuse new connections instead of leaving them to the "
         "kernel's hash",
         0},
        {"no-count", OPTION_NO_COUNT, NULL, 0,
         "Don't count each worker's open connections: saves the kernel some 3 % of what a short "
         "connection costs, and `status` and `metrics` don't know them, nor is there `drain "
         "--wait` and `connections`",
         0},
        {"count-max", OPTION_COUNT_MAX, "N", 0,
         "How many connections that are open at a time can be counted (default: 262144, for 8 MB "
         "of memory). Those beyond are steered all the same, and `status` says that they are not "
         "counted",
         0},
        {"label", OPTION_LABEL, "VERSION", 0, "The workers' version (default: " RPD_FIRST_LABEL ")",
         0},
        {"watch", OPTION_WATCH, NULL, 0,
         "Stay in the foreground: admit workers that join, take out those that left or stalled, "
         "and log it. SIGTERM ends the watching and leaves steering in place. If the service is "
         "attached already, just watch it",
         0},
        {"metrics", OPTION_METRICS, "ADDRESS:PORT", 0,
         "With --watch: serve the service's metrics there, for Prometheus", 0},
        JSON_OPTION,
        END_OF_OPTIONS,
};

#define ONLY_OPTION                                                                                \
	{                                                                                          \
		"only", OPTION_ONLY, "NAME[,NAME]", 0, "Of a file, only these services (apps)", 0  \
	}

/* Beside those of config/run_option.c. */
static const struct argp_option run_more_options[] = {
        ONLY_OPTION,
        {"metrics", OPTION_METRICS, "ADDRESS:PORT", 0,
         "Serve the services' metrics there, for Prometheus", 0},
        END_OF_OPTIONS,
};
static const struct argp_option check_options[] = {
        ONLY_OPTION,
        {"env", OPTION_RUN_ENV, "NAME", 0, "Of an ecosystem.config.js: take env_NAME, too", 0},
        JSON_OPTION,
        END_OF_OPTIONS,
};

#define IN_PLACE_OPTION                                                                            \
	{                                                                                          \
		"in-place", OPTION_IN_PLACE, NULL, 0,                                              \
		        "The old worker first, for hosts without room for two: connections wait "  \
		        "while nobody is there",                                                   \
		        0                                                                          \
	}

static const struct argp_option reload_options[] = {
        SERVICE_OPTION,
        {"batch", OPTION_BATCH, "N", 0,
         "How many are replaced at a time (default: as `run` has it)", 0},
        IN_PLACE_OPTION,
        {"keep-going", OPTION_KEEP_GOING, NULL, 0,
         "If a new worker fails, keep its old one, and go on with the others", 0},
        {"label", OPTION_RELABEL, "VERSION", 0, "The new workers' version", 0},
        {"supervisor", OPTION_SUPERVISOR, "PID", 0,
         "All services that this process of `reuseportd run` has, one after the other; exit status "
         "1 if one of them failed",
         0},
        JSON_OPTION,
        END_OF_OPTIONS,
};
static const struct argp_option restart_options[] = {SERVICE_OPTION, IN_PLACE_OPTION, JSON_OPTION,
                                                     END_OF_OPTIONS};

static const struct argp_option plain_options[] = {SERVICE_OPTION, JSON_OPTION, END_OF_OPTIONS};
static const struct argp_option status_options[] = {
        SERVICE_OPTION,
        {"watch", OPTION_WATCH, NULL, 0, "The live view of `reuseportd top`", 0},
        JSON_OPTION,
        END_OF_OPTIONS,
};
static const struct argp_option top_options[] = {SERVICE_OPTION, END_OF_OPTIONS};
static const struct argp_option json_options[] = {JSON_OPTION, END_OF_OPTIONS};
static const struct argp_option force_options[] = {SERVICE_OPTION, JSON_OPTION, FORCE_OPTION,
                                                   END_OF_OPTIONS};
static const struct argp_option detach_options[] = {
        SERVICE_OPTION,
        {"force", OPTION_FORCE, NULL, 0,
         "Also if the pins are damaged, a group can't be reached, or the supervisor of the service "
         "is dead: what is there is removed, and workers go on",
         0},
        JSON_OPTION,
        END_OF_OPTIONS,
};
static const struct argp_option drain_options[] = {
        SERVICE_OPTION,
        {"wait", OPTION_WAIT_EMPTY, NULL, 0,
         "Wait until the workers have no handshake under way, nothing in an accept queue and no "
         "open connection. Exit status 0 only then; 3 if the time is over before, and what is left "
         "is listed. Needs a service that is counted (see `attach`)",
         0},
        {"timeout", OPTION_TIMEOUT, "TIME", 0,
         "How long to wait, such as 1500ms or 2m; a number alone is in seconds (default: 30s)", 0},
        {"close-remaining", OPTION_CLOSE_REMAINING, NULL, 0,
         "When the time is over, reset the connections that are left. The exit status is 0 once "
         "all are, 3 if some are left: those of an unknown worker are not touched. Listed, and "
         "\"remaining\" of --json, are those that were left when the time was over",
         0},
        FORCE_OPTION,
        JSON_OPTION,
        END_OF_OPTIONS,
};
static const struct argp_option events_options[] = {
        SERVICE_OPTION,
        {"follow", OPTION_FOLLOW, NULL, 0, "Go on, and print what happens, until it is detached",
         0},
        {"json", OPTION_JSON, NULL, 0, "Print JSON; with --follow an object a line", 0},
        END_OF_OPTIONS,
};
static const struct argp_option canary_options[] = {
        SERVICE_OPTION,
        {"share", OPTION_SHARE, "PERCENT", 0,
         "The slots' share together, 0.1 to 99.9; the rest keep their relative weights", 0},
        {"off", OPTION_OFF, NULL, 0, "No canary any more: each slot gets its weight's share", 0},
        JSON_OPTION,
        END_OF_OPTIONS,
};
static const struct argp_option switch_options[] = {
        SERVICE_OPTION, {"off", OPTION_OFF, NULL, 0, "All versions take connections again", 0},
        FORCE_OPTION,   JSON_OPTION,
        END_OF_OPTIONS,
};
static const struct argp_option swap_options[] = {
        SERVICE_OPTION,
        {"pid", OPTION_PID, "PID", 0, "The process that takes over the slot (required)", 0},
        {"fd", OPTION_FD, "FD", 0,
         "Its descriptor for the listener, if it has several (once for each endpoint)", 0},
        JSON_OPTION,
        END_OF_OPTIONS,
};

static const struct argp_option metrics_options[] = {
        {"service", OPTION_SERVICE, "NAME", 0, "Of this service only", 0},
        {"listen", OPTION_LISTEN, "ADDRESS:PORT", 0,
         "Stay in the foreground and serve them over HTTP, at /metrics, such as on 127.0.0.1:9464 "
         "or [::1]:9464; SIGTERM ends that",
         0},
        END_OF_OPTIONS,
};

const struct command commands[] = {
        {"run", "--workers N|max [-- COMMAND...]\nFILE [--only NAME] [--env NAME]",
         "start workers and keep them: any program, unchanged, on all cores",
         "Starts N processes of COMMAND, lets them all listen on the same ports, deals new "
         "connections to those that are ready, restarts those that end, and reloads all of them "
         "with no connection lost. FILE is one of reuseportd (see `check`), with a section for "
         "each "
         "service, or an ecosystem.config.js (or .json) of PM2, of which --env NAME takes "
         "env_NAME. Workers that run already, as their supervisor was killed, are taken over; "
         "then a COMMAND that a reload has brought stays in force, unless another one is given "
         "here than before. A TIME is such as 30s, 1500ms or 2m; a number alone is in seconds.",
         run_more_options, cmd_run, false, true, true},
        {"check", "FILE", "check a configuration file of `run`",
         "Prints everything that is wrong in it, with its lines, and what would be run. A file of "
         "reuseportd has a section [service NAME] for each service, with `command = PROGRAM "
         "ARGUMENT...` and the options of `run` as `option = value`.",
         check_options, cmd_check, true},
        {"reload", "[SERVICE] [-- COMMAND...]", "replace all workers, with no connection lost",
         "Of a service that is run. For each worker a new one is started beside it, takes its slot "
         "when it is ready and has lived for a while (`run --settle`), and the old one is stopped "
         "when its connections have ended or the drain time is over. If a new one fails, the old "
         "ones get their slots back, and the exit status is 1. With COMMAND the new ones are of "
         "that; else, of a service from a file, of what the file has now.",
         reload_options, cmd_reload, false, false, true},
        {"restart", "[SERVICE] SLOT...", "replace some workers, with no connection lost",
         "As `reload`, for these slots, such as 3 or 0-3,7.", restart_options, cmd_restart, false},
        {"scale", "[SERVICE] N", "run more or fewer workers",
         "Starts more, or drains and stops those of the highest slots.", plain_options, cmd_scale,
         false},
        {"stop", "[SERVICE] [SLOT...]", "stop a service that is run, or some of its workers",
         "Of the whole service, all workers get the stop signal at once and the supervisor ends. "
         "Workers of slots are drained first, and stay stopped until `start`.",
         plain_options, cmd_stop, false},
        {"start", "[SERVICE] SLOT...", "start workers that were stopped or have failed",
         "Returns when they are ready, or have failed.", plain_options, cmd_start, false},
        {"attach", "--workers N|any", "steer the connections of servers that already run",
         "Finds the listeners of a port's SO_REUSEPORT groups and the processes that serve them, "
         "gives each worker a slot, lets the kernel deal new connections to the slots, and exits. "
         "Steering goes on with no process of reuseportd running. Without --port, --address and "
         "--pid it takes the one port on the host that has N workers.",
         attach_options, cmd_attach, false},
        {"status", "[SERVICE]", "show the workers, their shares and what was counted",
         "Shows each worker's slot, state, version, weight, share of new connections, process and "
         "count of connections steered to it; the outcomes of the steering program; and members of "
         "the group that were not admitted.",
         status_options, cmd_status, false},
        {"top", "[SERVICE]", "show the workers live, full-screen, and drain and resume by key",
         "Shows each second what `status` does, and a bar of each worker's share, the largest one "
         "being a full bar. Up and down (or k and j), PgUp, PgDn, Home and End select a worker; d "
         "drains it, R (or u) resumes it; s sorts by the next of slot, share, rate, active and "
         "queue, r reverses that; q or Ctrl-C quits.",
         top_options, cmd_top, false},
        {"list", "", "list the services", "Lists the services on this host.", json_options,
         cmd_list, false},
        {"metrics", "[SERVICE]", "print the metrics for Prometheus, or serve them",
         "Prints what `status` shows of all services, or of one, in the text format of Prometheus. "
         "With --listen each scrape reads it anew, and one service that can't be read "
         "(reuseportd_up is 0) does not keep the others from being told of; nor does it end when "
         "the one that was named is not there (0 as well).",
         metrics_options, cmd_metrics, false},
        {"drain", "[SERVICE] SLOT...", "take workers out: no new connections, open ones go on",
         "From when it returns not one new connection goes to the slots, such as 3 or 0-3,7. Open "
         "connections, and handshakes under way, go on. With --wait it returns when the workers "
         "are empty, so that they can be stopped with nothing lost.",
         drain_options, cmd_drain, false},
        {"connections", "[SERVICE] [SLOT...]", "list the open connections of workers",
         "Lists each worker's open connections: the "
         "client, the state, the age, for how long no "
         "data came or was sent, and bytes in and out. FORMER are those of a worker that was in "
         "the slot before. No slot, or no age: open since before the service was attached, and of "
         "an unknown worker, or since an unknown time.",
         plain_options, cmd_connections, false},
        {"resume", "[SERVICE] SLOT...", "put drained workers back", "Takes back `drain`.",
         plain_options, cmd_resume, false},
        {"weight", "[SERVICE] SLOT... WEIGHT", "set the weight of workers",
         "Weights are 0 to 1000; a worker that nobody weighted has 100. Shares are in proportion, "
         "and exact over each turn of the ring; if the weights don't fit a ring of 4096 entries "
         "they are rounded, and the largest error is shown.",
         force_options, cmd_weight, false},
        {"canary", "[SERVICE] SLOT... --share PERCENT | --off",
         "give some workers an exact share of new connections",
         "The slots together get PERCENT of new connections, spread out evenly.", canary_options,
         cmd_canary, false},
        {"label", "[SERVICE] SLOT... VERSION", "give workers a version",
         "The queue of a worker that dies goes to a worker of the same version, if one is left; "
         "`switch` goes by it.",
         force_options, cmd_label, false},
        {"switch", "[SERVICE] VERSION | --off", "let only one version take new connections",
         "All at once, and back the same way. From when it returns not one new connection goes to "
         "another version.",
         switch_options, cmd_switch, false},
        {"swap", "[SERVICE] SLOT --pid PID", "put another process's listener into a slot",
         "The process must have a listener in the same group (same address, port and user, with "
         "SO_REUSEPORT). The one that was in the slot goes on with its open connections, and can "
         "then be stopped.",
         swap_options, cmd_swap, false},
        {"events", "[SERVICE]", "what happened to the service, with times",
         "Lists what commands did, and what the kernel saw: listeners that closed, connections "
         "that "
         "migrated, fell back or were refused (such that come within a second of each other are "
         "one "
         "event with a count). The last 1024 events are kept in the kernel, until the service is "
         "detached or the machine restarts; no process is needed for that. That a listener closed "
         "is known only where connections are counted, and that a worker stalled only with "
         "`attach --watch`.",
         events_options, cmd_events, false},
        {"detach", "[SERVICE]", "back to the kernel's hash; removes everything of reuseportd",
         "Takes the steering program off the groups and removes all pins. No connection is lost. A "
         "service that `run` has started is ended by `reuseportd stop`.",
         detach_options, cmd_detach, false},
        {"doctor", "[SERVICE]", "check the host and the service, and say what to do",
         "Each check has a verdict: ok, note, warn or fail. Exit status 1 if one failed.",
         plain_options, cmd_doctor, true},
        {0},
};

static int commands_parse_workers(const char *text, unsigned int *ret)
{
	long n;

	if (!strcmp(text, "any")) {
		*ret = 0;
		return 0;
	}
	if (parse_long(text, 1, RPD_SLOT_MAX, &n) < 0)
		return -1;
	*ret = n;
	return 0;
}

/* Options that choose the workers. */
static void commands_parse_wanted(int key, const char *text, struct invocation *i,
                                  struct argp_state *state)
{
	struct discover_wanted *wanted = &i->attach.wanted;
	long n = 0;

	switch (key) {
	case OPTION_WORKERS:
		i->has_workers = true;
		if (commands_parse_workers(text, &wanted->workers) < 0)
			argp_error(state, "--workers is 1 to %d, or 'any', not '%s'", RPD_SLOT_MAX,
			           text);
		break;
	case OPTION_PORT:
		if (parse_long(text, 1, 65535, &n) < 0)
			argp_error(state, "'%s' is no port", text);
		wanted->port = n;
		break;
	case OPTION_ADDRESS:
		if (endpoint_parse_address(text, &wanted->family, wanted->addr) < 0)
			argp_error(state, "'%s' is no IPv4 or IPv6 address", text);
		break;
	case OPTION_PID:
		if (parse_long(text, 1, 1 << 22, &n) < 0)
			argp_error(state, "'%s' is no process number", text);
		wanted->pid = i->swap_pid = n;
		break;
	}
}

/* @ret: in seconds. */
static void commands_parse_time(const char *option, const char *text, double *ret,
                                struct argp_state *state)
{
	int64_t ns = 0;
	int r = parse_duration(text, &ns);

	if (r == -ERANGE)
		argp_error(state, "%s is at most a year, not '%s'", option, text);
	else if (r < 0)
		argp_error(state,
		           "%s is a time such as 30s, 1500ms, 2m, or 30, in seconds, not '%s'",
		           option, text);
	*ret = (double)ns / NS_PER_S;
}

/* Options with a value that are of one command only. */
static void commands_parse_special(int key, const char *text, struct invocation *i,
                                   struct argp_state *state)
{
	long n = 0;

	switch (key) {
	case OPTION_WAIT:
		commands_parse_time("--wait", text, &i->attach.wait, state);
		break;
	case OPTION_POLICY:
		if (schedule_policy_parse(text, &i->attach.policy) < 0)
			argp_error(state, "there is no policy '%s': round-robin or sticky", text);
		break;
	case OPTION_SHARE:
		if (parse_tenths(text, 1, 999, &i->share) < 0)
			argp_error(state,
			           "--share is 0.1 to 99.9 percent in steps of 0.1, not '%s'",
			           text);
		break;
	case OPTION_TIMEOUT:
		commands_parse_time("--timeout", text, &i->timeout, state);
		break;
	case OPTION_COUNT_MAX:
		if (parse_long(text, 1, RPD_CONNS_LIMIT, &n) < 0)
			argp_error(state, "--count-max is 1 to %d, not '%s'", RPD_CONNS_LIMIT,
			           text);
		i->attach.max_conns = n;
		i->has_count_max = true;
		break;
	case OPTION_LISTEN:
	case OPTION_METRICS:
		if (endpoint_parse(text, &i->listen) < 0)
			argp_error(state,
			           "'%s' is no address with a port, such as 127.0.0.1:9464 or "
			           "[::1]:9464",
			           text);
		break;
	case OPTION_FD:
		if (i->n_fds == INVOCATION_FDS_MAX || parse_long(text, 0, 1 << 30, &n) < 0)
			argp_error(state, "'%s' is no descriptor number", text);
		i->fds[i->n_fds++] = n;
		break;
	}
}

static void commands_add_run_option(int key, const char *text, struct argp_state *state)
{
	struct invocation *i = state->input;

	if (args_add(&i->run, key, text) < 0)
		argp_failure(state, EXIT_REFUSED, ENOMEM, "an option can't be taken");
}

/* A file; or, from what is behind "--" on, a command, whose options are not for us. */
static void commands_take_run_argument(char *text, struct invocation *i, struct argp_state *state)
{
	if (state->quoted && state->next > state->quoted) {
		i->run.command = state->argv + state->next - 1;
		state->next = state->argc;
	} else if (!i->takes_file) {
		if (i->n_args == INVOCATION_ARGS_MAX)
			argp_error(state, "too many arguments");
		i->args[i->n_args++] = text;
	} else if (i->run.file) {
		argp_error(state,
		           "'%s' is one file too many; if '%s' is a command, put -- before it",
		           text, i->run.file);
	} else {
		i->run.file = text;
	}
}

const struct argp_option *command_options(const struct command *command)
{
	return command->run_options ? args_options(command->options) : command->options;
}

error_t command_parse(int key, char *text, struct argp_state *state)
{
	struct invocation *i = state->input;

	switch (key) {
	case OPTION_SERVICE:
		i->service = text;
		return 0;
	case OPTION_ONLY:
		i->run.only = text;
		return 0;
	case OPTION_RUN_ENV:
		commands_add_run_option(ARGS_KEY + (run_option_find("env") - run_options), text,
		                        state);
		return 0;
	case OPTION_LABEL:
		i->attach.label = text;
		return 0;
	case OPTION_RELABEL:
		i->relabel = text;
		return 0;
	case OPTION_SUPERVISOR:
		if (parse_long(text, 1, 1 << 22, &i->supervisor) < 0)
			argp_error(state, "'%s' is no process id", text);
		return 0;
	case OPTION_BATCH:
		if (parse_long(text, 1, RPD_SLOT_MAX, &i->batch) < 0)
			argp_error(state, "--batch is 1 to %d, not '%s'", RPD_SLOT_MAX, text);
		return 0;
	case OPTION_IN_PLACE:
		i->in_place = true;
		return 0;
	case OPTION_KEEP_GOING:
		i->keep_going = true;
		return 0;
	case OPTION_JSON:
		i->json = true;
		return 0;
	case OPTION_FORCE:
		i->force = true;
		return 0;
	case OPTION_NO_COUNT:
		i->no_count = true;
		return 0;
	case OPTION_STRICT:
		i->attach.strict = true;
		return 0;
	case OPTION_WATCH:
		i->watch = true;
		return 0;
	case OPTION_OFF:
		i->off = true;
		return 0;
	case OPTION_WAIT_EMPTY:
		i->wait_empty = true;
		return 0;
	case OPTION_FOLLOW:
		i->follow = true;
		return 0;
	case OPTION_CLOSE_REMAINING:
		i->close_remaining = true;
		return 0;
	case OPTION_WORKERS:
	case OPTION_PORT:
	case OPTION_ADDRESS:
	case OPTION_PID:
		commands_parse_wanted(key, text, i, state);
		return 0;
	case OPTION_WAIT:
	case OPTION_POLICY:
	case OPTION_SHARE:
	case OPTION_FD:
	case OPTION_TIMEOUT:
	case OPTION_COUNT_MAX:
	case OPTION_LISTEN:
	case OPTION_METRICS:
		commands_parse_special(key, text, i, state);
		return 0;
	case ARGP_KEY_ARG:
		if (i->takes_command)
			commands_take_run_argument(text, i, state);
		else if (i->n_args == INVOCATION_ARGS_MAX)
			argp_error(state, "too many arguments");
		else
			i->args[i->n_args++] = text;
		return 0;
	default:
		if (key < ARGS_KEY || key >= ARGS_KEY + RUN_OPTION_MAX)
			return ARGP_ERR_UNKNOWN;
		commands_add_run_option(key, text, state);
		return 0;
	}
}

void command_overview(FILE *out)
{
	fprintf(out,
	        "Usage: reuseportd COMMAND [OPTION...]\n"
	        "Deals the connections of a port evenly to its workers, in the kernel, and\n"
	        "replaces workers without losing one.\n\n");
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "  %-11s  %s\n", c->name, c->summary);
	fprintf(out,
	        "\n`reuseportd COMMAND --help` tells more.\n"
	        "Exit status: 0 done, 1 refused or failed, 2 bad usage.\n");
}
