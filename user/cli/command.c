/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "cli/command.h"
#include "cli/command_options.h"
#include "config/run_option.h"

const struct command commands[] = {
        {
                .name = "run",
                .args = "--workers N|max [-- COMMAND...]\nFILE [--only NAME] [--env NAME]",
                .summary = "start workers of any program on all cores, and keep them running",
                .help = "Starts N processes of COMMAND that all listen on the same ports, "
                        "deals new connections to the workers that are ready, "
                        "restarts workers that exit, "
                        "and reloads all workers without losing a connection. "
                        "FILE is a configuration file of reuseportd, "
                        "with a section for each service (see `check`), "
                        "or an ecosystem.config.js (or .json) of PM2; "
                        "--env NAME then adds the variables of env_NAME. "
                        "If workers still run because their supervisor was killed, "
                        "they are taken over. "
                        "They keep the COMMAND of the last reload, "
                        "unless the COMMAND given here has changed. "
                        "A TIME is, for example, 30s, 1500ms or 2m; "
                        "a number alone is in seconds.",
                .options = command_options_run_extra,
                .run = cmd_run,
                .run_options = true,
                .takes_command = true,
        },
        {
                .name = "check",
                .args = "FILE",
                .summary = "check a configuration file of `run`",
                .help = "Prints every error and warning in FILE with its line, "
                        "and the services that `run` would start if there is no error. "
                        "A configuration file of reuseportd has a section [service NAME] "
                        "for each service, with `command = PROGRAM ARGUMENT...` "
                        "and the options of `run` as `option = value`.",
                .options = command_options_check,
                .run = cmd_check,
                .unprivileged = true,
        },
        {
                .name = "reload",
                .args = "[SERVICE] [-- COMMAND...]",
                .summary = "replace all workers without losing a connection",
                .help = "For a service of `run`. Starts a new worker beside each old one. "
                        "When the new worker is ready and has stayed alive for a while "
                        "(`run --settle`), it takes the slot. "
                        "The old worker is stopped when its connections have ended "
                        "or `run --drain-timeout` is over. "
                        "If a new worker fails, the old workers get their slots back, "
                        "and the exit status is 1. "
                        "New workers run COMMAND if given, "
                        "otherwise the command that the configuration file has now.",
                .options = command_options_reload,
                .run = cmd_reload,
                .takes_command = true,
        },
        {
                .name = "restart",
                .args = "[SERVICE] SLOT...",
                .summary = "replace some workers without losing a connection",
                .help = "Replaces the workers of these slots, for example 3 or 0-3,7, "
                        "as `reload` does.",
                .options = command_options_restart,
                .run = cmd_restart,
        },
        {
                .name = "scale",
                .args = "[SERVICE] N",
                .summary = "run more or fewer workers",
                .help = "Starts workers until there are N, "
                        "or drains and stops the workers of the highest slots.",
                .options = command_options_plain,
                .run = cmd_scale,
        },
        {
                .name = "stop",
                .args = "[SERVICE] [SLOT...]",
                .summary = "stop a service of `run`, or some of its workers",
                .help = "Without SLOT, all workers get the stop signal at once, "
                        "and the supervisor exits. "
                        "With SLOT, these workers are drained first, "
                        "and stay stopped until `start`.",
                .options = command_options_plain,
                .run = cmd_stop,
        },
        {
                .name = "start",
                .args = "[SERVICE] SLOT...",
                .summary = "start workers that were stopped or have failed",
                .help = "Starts workers that were stopped or have failed. "
                        "Returns when they are ready or have failed.",
                .options = command_options_plain,
                .run = cmd_start,
        },
        {
                .name = "attach",
                .args = "--workers N|any",
                .summary = "steer the connections of servers that already run",
                .help = "Finds the listeners of a port's SO_REUSEPORT groups "
                        "and the processes that serve them, gives each worker a slot, "
                        "makes the kernel deal new connections to the slots, and exits. "
                        "Steering goes on without a process of reuseportd. "
                        "Without --port, --address and --pid, "
                        "attaches the only port on the host that has N workers.",
                .options = command_options_attach,
                .run = cmd_attach,
        },
        {
                .name = "status",
                .args = "[SERVICE]",
                .summary = "show the workers, their shares and counters",
                .help = "Shows each worker's slot, state, version, weight, "
                        "share of new connections, process, "
                        "and number of connections steered to it. "
                        "Below that, it shows the outcomes of the steering program, "
                        "and foreign listeners: "
                        "members of the group that were not admitted.",
                .options = command_options_status,
                .run = cmd_status,
        },
        {
                .name = "top",
                .args = "[SERVICE]",
                .summary = "show the workers live, full-screen; drain and resume them by key",
                .help = "Shows every second what `status` does, "
                        "with a bar for each worker's share; "
                        "the largest share is a full bar. "
                        "Up and down (or k and j), PgUp, PgDn, Home and End select a worker. "
                        "d drains it; R or u resumes it. "
                        "s sorts by the next column: slot, share, rate, active or queue; "
                        "r reverses the order. q or Ctrl-C quits.",
                .options = command_options_top,
                .run = cmd_top,
        },
        {
                .name = "list",
                .args = "",
                .summary = "list the services",
                .help = "Lists the services on this host.",
                .options = command_options_list,
                .run = cmd_list,
        },
        {
                .name = "metrics",
                .args = "[SERVICE]",
                .summary = "print the metrics for Prometheus, or serve them",
                .help = "Prints what `status` shows, of all services or of one, "
                        "in the text format of Prometheus. "
                        "With --listen, each scrape reads the services again. "
                        "A service that cannot be read has a reuseportd_up of 0; "
                        "the other services are still reported. "
                        "SERVICE need not exist: until it does, its reuseportd_up is 0.",
                .options = command_options_metrics,
                .run = cmd_metrics,
        },
        {
                .name = "drain",
                .args = "[SERVICE] SLOT...",
                .summary = "stop new connections to workers; open connections go on",
                .help = "Once it returns, the slots (for example 3 or 0-3,7) "
                        "get no new connection. "
                        "Open connections and handshakes under way go on. "
                        "With --wait, it returns when the workers are empty: "
                        "they can then be stopped without losing a connection.",
                .options = command_options_drain,
                .run = cmd_drain,
        },
        {
                .name = "connections",
                .args = "[SERVICE] [SLOT...]",
                .summary = "list the open connections of workers",
                .help = "Lists each worker's open connections: client, state, age, "
                        "time since data was last received or sent, "
                        "and bytes received and sent. "
                        "FORMER marks a connection of a former worker of the slot. "
                        "A connection without a slot was open before the service was attached, "
                        "and its worker is unknown. "
                        "A connection without an age has been open for an unknown time.",
                .options = command_options_plain,
                .run = cmd_connections,
        },
        {
                .name = "resume",
                .args = "[SERVICE] SLOT...",
                .summary = "let drained workers take new connections again",
                .help = "Undoes `drain`: the workers take new connections again.",
                .options = command_options_plain,
                .run = cmd_resume,
        },
        {
                .name = "weight",
                .args = "[SERVICE] SLOT... WEIGHT",
                .summary = "set the weight of workers",
                .help = "Sets the weight of workers: 0 to 1000, and 100 unless it is set. "
                        "A worker's share is proportional to its weight, "
                        "and exact over each turn of the ring. "
                        "If the weights do not fit a ring of 4096 entries, "
                        "they are rounded, and the largest error is shown.",
                .options = command_options_force,
                .run = cmd_weight,
        },
        {
                .name = "canary",
                .args = "[SERVICE] SLOT... --share PERCENT | --off",
                .summary = "give some workers an exact share of new connections",
                .help = "The slots together get PERCENT of new connections, "
                        "spread out evenly.",
                .options = command_options_canary,
                .run = cmd_canary,
        },
        {
                .name = "label",
                .args = "[SERVICE] SLOT... VERSION",
                .summary = "give workers a version",
                .help = "Gives workers a version. `switch` selects workers by version. "
                        "When a worker dies, its accept queue goes to a worker "
                        "of the same version, if there is one.",
                .options = command_options_force,
                .run = cmd_label,
        },
        {
                .name = "switch",
                .args = "[SERVICE] VERSION | --off",
                .summary = "let only one version take new connections",
                .help = "Lets only workers of VERSION take new connections, all at once. "
                        "Switching back works the same way. "
                        "Once it returns, other versions get no new connection.",
                .options = command_options_switch,
                .run = cmd_switch,
        },
        {
                .name = "swap",
                .args = "[SERVICE] SLOT --pid PID",
                .summary = "put another process's listener into a slot",
                .help = "Puts a listener of process PID into the slot. "
                        "The process must have a listener in the same group: "
                        "same address, port and user, with SO_REUSEPORT. "
                        "The former worker keeps its open connections; "
                        "stop it when they have ended.",
                .options = command_options_swap,
                .run = cmd_swap,
        },
        {
                .name = "events",
                .args = "[SERVICE]",
                .summary = "list what happened to the service, with times",
                .help = "Lists what commands did and what the kernel saw: "
                        "listeners that closed, "
                        "and connections that migrated, fell back or were refused. "
                        "Connections with the same outcome within a second "
                        "are one event with a count. "
                        "The kernel keeps the last 1024 events "
                        "until the service is detached or the machine restarts; "
                        "this needs no process. "
                        "A closed listener is recorded only if connections are counted, "
                        "and a stalled worker only by `attach --watch`.",
                .options = command_options_events,
                .run = cmd_events,
        },
        {
                .name = "detach",
                .args = "[SERVICE]",
                .summary = "return to the kernel's hash, and remove everything of reuseportd",
                .help = "Removes the steering program from the groups, and all pins. "
                        "No connection is lost. "
                        "To end a service of `run`, use `reuseportd stop`.",
                .options = command_options_detach,
                .run = cmd_detach,
        },
        {
                .name = "doctor",
                .args = "[SERVICE]",
                .summary = "check the host and the service, and advise what to do",
                .help = "Checks the host, and the service if there is one. "
                        "Each check has a verdict: ok, note, warn or fail. "
                        "The exit status is 1 if a check has failed.",
                .options = command_options_plain,
                .run = cmd_doctor,
                .unprivileged = true,
        },
        {0},
};

const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

const struct option_row *command_option(const struct command *command, size_t i)
{
	const size_t n = command->run_options ? option_count(run_options) : 0;
	const struct option_row *row = i < n ? &run_options[i] : &command->options[i - n];

	return row->name ? row : NULL;
}

void command_overview(FILE *out)
{
	fprintf(out,
	        "Usage: reuseportd COMMAND [OPTION...]\n"
	        "Deals the connections of a port evenly to its workers, in the kernel, and\n"
	        "replaces workers without losing a connection.\n\n");
	for (const struct command *command = commands; command->name; command++)
		fprintf(out, "  %-11s  %s\n", command->name, command->summary);
	fprintf(out,
	        "\n`reuseportd COMMAND --help` describes a command.\n"
	        "Exit status: 0 done, 1 refused or failed, 2 bad usage.\n");
}
