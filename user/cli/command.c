/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "cli/command.h"
#include "cli/command_options.h"
#include "config/run_option.h"

const struct command commands[] = {
        {
                .name = "run",
                .args = "--workers N|max -- COMMAND [ARGUMENT...]\nFILE [--only NAME] [--env NAME]",
                .summary = "start workers of any program on all cores, and keep them running",
                .help = "Starts N workers, processes of COMMAND that all listen on the same "
                        "ports, and stays in the foreground as their supervisor: it deals "
                        "new connections to the workers that are ready, starts workers "
                        "again after they exit, and replaces workers when `reload` and the "
                        "other commands ask for it. FILE is a configuration file of reuseportd, "
                        "with a section for each service (see `check`), or an "
                        "ecosystem.config.js (or .json) of PM2. If a supervisor was killed "
                        "and its workers still run, call `run` again with the same "
                        "arguments: it takes the workers over. After that, new workers "
                        "run the command of the last `reload -- COMMAND`, if there was one. But "
                        "if you call `run` with another COMMAND than before, they run that one. "
                        "A TIME is, for example, 30s, 1500ms or 2m; a number alone is in "
                        "seconds.",
                .options = command_options_run_extra,
                .run = cmd_run,
                .run_options = true,
                .takes_command = true,
        },
        {
                .name = "check",
                .args = "FILE",
                .summary = "check a configuration file of `run`",
                .help = "Prints the errors and warnings in FILE, each with its line, or with the "
                        "app if FILE is an ecosystem.config.js (or .json) of PM2. If there is no "
                        "error, it also prints the services that `run` would start. "
                        "A configuration file of reuseportd has a section [service NAME] "
                        "for each service, with `command = PROGRAM ARGUMENT...` "
                        "and the options of `run` as `option = value`.",
                .options = command_options_check,
                .run = cmd_check,
                .unprivileged = true,
        },
        {
                .name = "reload",
                .args = "[SERVICE] [-- COMMAND [ARGUMENT...]]",
                .summary = "replace all workers without refusing a connection",
                .help = "Only for a service of `run`. Starts a new worker beside each old "
                        "one. The new worker takes the slot when it is ready and has then "
                        "stayed alive for the time of `run --settle`; the old worker then gets "
                        "no new connection. When all new workers have their slots, each old "
                        "worker is stopped as soon as its connections have ended, at the latest "
                        "after `run --drain-timeout`. `reload` returns when all old workers have "
                        "ended; the next reload can begin when all new workers have their slots. "
                        "If a new worker fails, the old "
                        "workers "
                        "get their slots back, and the exit status is 1. With --in-place, each old "
                        "worker is drained and stopped before its new worker starts; if a "
                        "new worker fails, workers with the old command are started again. "
                        "New workers run COMMAND if "
                        "it is given. Otherwise they run the command that the configuration "
                        "file has now; without a file, the command stays the same.",
                .options = command_options_reload,
                .run = cmd_reload,
                .takes_command = true,
        },
        {
                .name = "deploy",
                .args = "[SERVICE] [-- COMMAND [ARGUMENT...]]",
                .summary = "bring in a new version: rolling, blue-green or canary",
                .help = "Only for a service of `run`. Starts workers of the new version, and gives "
                        "them connections as --strategy says. An old worker that gets no new "
                        "connection any more is kept until some time after the end (--keep-old). "
                        "During the deployment, `abort` gives the old workers all new connections "
                        "again in one step; afterwards, `rollback` does so as long as they are "
                        "kept. The steps of a canary are judged: by resets, requests without a "
                        "response, responses with a status of 5xx, and the time to the first byte "
                        "of responses, each compared with the old version, by --max-error-rate "
                        "and by --check. With any strategy, an entry of 100 % in --steps is judged "
                        "by --max-error-rate and --check alone. In each step, a worker that fails "
                        "ends the deployment. Responses are counted for this also without --http. "
                        "The new version runs COMMAND if it is given, otherwise the command that "
                        "the configuration file has now. If --label is the version that the "
                        "service has already, and the command is the same, nothing is done. "
                        "If it is the version that is being deployed, the command joins this "
                        "deployment. "
                        "An option below that is not given, and that `run` has too, has the value "
                        "that `run` was given; --label is the exception. With --wait, the "
                        "exit status is 0 if the new version has all new connections, 1 if the "
                        "deployment was refused, has failed, or was aborted by `abort`, 3 if "
                        "--timeout is over, 4 if the new version was judged bad and the old one "
                        "has all connections again, and 5 if the deployment waits for a person. "
                        "With --detach, 0 only says that the "
                        "deployment has begun: in scripts, give --wait. With --json, the command "
                        "prints one object, except when it is refused; `changed` is true if the "
                        "service has another version than before, or is to have it, and "
                        "`outcome` is promoted, unchanged, aborted, failed, rolled-back, or null "
                        "while the deployment is under way.",
                .options = command_options_deploy,
                .run = cmd_deploy,
                .takes_command = true,
        },
        {
                .name = "rollout",
                .args = "[SERVICE]",
                .summary = "show the deployment that is under way, or the last one",
                .help = "Only for a service of `run`. Shows the step, the share of the new "
                        "version, "
                        "the time to the next step, and what is known of both versions: for each "
                        "sign of trouble, how often each version had it, and the evidence that the "
                        "new one is worse. When the evidence reaches the number in column BAD "
                        "FROM, which --confidence sets, the deployment is aborted. With --watch, "
                        "the exit status is that of `deploy --wait`.",
                .options = command_options_rollout,
                .run = cmd_rollout,
        },
        {
                .name = "promote",
                .args = "[SERVICE]",
                .summary = "continue a deployment that waits for a person",
                .help = "Only for a service of `run`. Goes on with the next step of the "
                        "deployment, "
                        "whether it is paused or not. The rest of the step is left out.",
                .options = command_options_promote,
                .run = cmd_promote,
        },
        {
                .name = "pause",
                .args = "[SERVICE]",
                .summary = "keep the share of a deployment where it is",
                .help = "Only for a service of `run`. The new version keeps its share until "
                        "`promote` or `abort`. A deployment "
                        "that was paused for the time of `deploy --pause-timeout` is aborted. A "
                        "step that is judged is judged during a pause, too.",
                .options = command_options_plain,
                .run = cmd_pause,
        },
        {
                .name = "abort",
                .args = "[SERVICE]",
                .summary = "end a deployment: the old version gets all new connections",
                .help = "Only for a service of `run`. Ends the deployment that is under way: the "
                        "old version gets all new "
                        "connections again, for all workers at once. The new workers are kept for "
                        "the time of `deploy --keep-new`, and then stopped. Without a deployment "
                        "under way, `abort` is refused and changes nothing.",
                .options = command_options_abort,
                .run = cmd_abort,
        },
        {
                .name = "rollback",
                .args = "[SERVICE]",
                .summary = "go back to the version before the last deployment",
                .help = "Only for a service of `run`. While the old workers are kept (`deploy "
                        "--keep-old`), they get all new connections again at once. If they have "
                        "ended, workers with the old command are started, by a rolling "
                        "deployment. During a deployment, `rollback` is the same as `abort`.",
                .options = command_options_rollback,
                .run = cmd_rollback,
        },
        {
                .name = "restart",
                .args = "[SERVICE] SLOT...",
                .summary = "replace some workers without refusing a connection",
                .help = "Only for a service of `run`. Replaces the workers of these slots, for "
                        "example 3 or 0-3,7, in the same way as `reload`, but does not read the "
                        "configuration file again. A slot that is stopped or failed gets a worker.",
                .options = command_options_restart,
                .run = cmd_restart,
        },
        {
                .name = "scale",
                .args = "[SERVICE] N",
                .summary = "run more or fewer workers",
                .help = "Only for a service of `run`. Sets the number of slots to N: starts a "
                        "worker in each new slot, or drains and stops the workers of the "
                        "highest slots. A slot that is stopped or failed counts as one "
                        "of the N, and stays stopped or failed.",
                .options = command_options_plain,
                .run = cmd_scale,
        },
        {
                .name = "stop",
                .args = "[SERVICE] [SLOT...]",
                .summary = "stop a service of `run`, or some of its workers",
                .help = "Only for a service of `run`. Without SLOT, sends the stop signal to all "
                        "workers of the service at once, even if the supervisor has died. `run` "
                        "exits when all its services have ended. With SLOT, drains and stops only "
                        "these workers; their slots get no worker until `start` or `restart`.",
                .options = command_options_plain,
                .run = cmd_stop,
        },
        {
                .name = "start",
                .args = "[SERVICE] SLOT...",
                .summary = "start workers that were stopped or have failed",
                .help = "Only for a service of `run`. Starts a worker in each of these slots, "
                        "which were stopped or have failed. Returns when the workers are ready or "
                        "have failed.",
                .options = command_options_plain,
                .run = cmd_start,
        },
        {
                .name = "reopen-logs",
                .args = "[SERVICE]",
                .summary = "open the log files again, after they were renamed",
                .help = "Only for a service of `run`. Closes the files of `run --out-file`, "
                        "--error-file and --log-file and opens them again by their names. Call it "
                        "after logrotate has renamed them. It also works if the supervisor has "
                        "died. If a file can't be opened, the workers' output still goes to the "
                        "renamed file, and the exit status is 1.",
                .options = command_options_plain,
                .run = cmd_reopen_logs,
        },
        {
                .name = "attach",
                .args = "--workers N|any",
                .summary = "steer the connections of servers that already run",
                .help = "Finds the listeners that share a port by SO_REUSEPORT, and the "
                        "processes that serve them. Gives each worker a slot, makes the "
                        "kernel deal new connections to the slots, and exits. Steering "
                        "continues without a process of reuseportd: the eBPF program that "
                        "does it, the steering program, stays in the kernel. If the service "
                        "exists and another program has replaced its steering program, "
                        "`attach` with the same options puts the steering program back. "
                        "Without --port, --address and --pid, there must be exactly one port with "
                        "N workers "
                        "(with `--workers any`: with at least two); otherwise `attach` is "
                        "refused.",
                .options = command_options_attach,
                .run = cmd_attach,
        },
        {
                .name = "status",
                .args = "[SERVICE]",
                .summary = "show the workers, their shares and counters",
                .help = "Shows each worker's slot, state, version, weight, share of new "
                        "connections, process, and the numbers of its connections: steered "
                        "to it, open (column ACTIVE), waiting in the accept queue (QUEUE). "
                        "For the states, see STATES OF A SLOT in reuseportd(8). Reports for "
                        "each endpoint if the steering program was replaced or detached: another "
                        "program or the kernel's hash then selects the worker. Below the workers: "
                        "the former workers that still run, why a slot has no worker, which "
                        "connections are not counted, how many new connections were steered, "
                        "parked, refused (`dropped`) and so on, and the foreign listeners, which "
                        "are on the same address and port but have no slot.",
                .options = command_options_status,
                .run = cmd_status,
        },
        {
                .name = "top",
                .args = "[SERVICE]",
                .summary = "show the workers live, full-screen; drain and resume them by key",
                .help = "Shows what `status` shows, updated every second, with a bar for each "
                        "worker's share; the largest share is a full bar. Up and down (or k and "
                        "j), PgUp, PgDn, Home and End select a worker. d drains the selected "
                        "worker; R or u resumes it. s sorts by the next column: slot, share, "
                        "rate, active or queue; r reverses the order. v shows only the workers "
                        "of the next version, at last all again. If there are several services, "
                        "they are listed first, and Enter shows the selected one; n or Tab "
                        "shows the next one, l the list. With --http, the columns 5XX/% and "
                        "P99/MS have the percentage of the last second's responses with status "
                        "5xx, and the 99th percentile of the time to the first byte. ? shows "
                        "the keys; q or Ctrl-C quits. There are no colours if the environment "
                        "variable NO_COLOR is set.",
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
                .summary = "print the metrics for Prometheus, or serve them over HTTP",
                .help = "Prints what `status` shows, for all services or for one, in the "
                        "text format of Prometheus. With --listen, an answer is kept for "
                        "a second, and given to all clients that ask meanwhile. A service that "
                        "cannot be read has a reuseportd_up "
                        "of 0; the other services are still reported. With --listen, "
                        "SERVICE need not exist yet: until it does, its reuseportd_up is 0.",
                .options = command_options_metrics,
                .run = cmd_metrics,
        },
        {
                .name = "web",
                .args = "--listen ADDRESS",
                .summary = "serve a page, JSON and the metrics over HTTP",
                .help = "Stays in the foreground and serves a page that shows all services live, "
                        "what it shows as JSON (/api/v1/services), the metrics for Prometheus "
                        "(/metrics), and the answers for load balancers (/ready, /live); see HTTP "
                        "SERVER "
                        "in reuseportd(8). An answer is kept for a second, and given to all "
                        "clients that ask meanwhile. Without --admin, nothing can be changed. "
                        "SIGTERM ends it.",
                .options = command_options_web,
                .run = cmd_web,
        },
        {
                .name = "drain",
                .args = "[SERVICE] SLOT...",
                .summary = "give workers no new connection; open connections continue",
                .help = "When `drain` returns, the slots (for example 3 or 0-3,7) get no "
                        "new connection. If all other workers die later, the drained slots "
                        "get new connections again. Open connections and "
                        "handshakes under way "
                        "continue. With --wait, `drain` returns when the workers are empty; "
                        "they can then be stopped without losing a connection. It also waits for "
                        "connections from before `attach` if it is unknown which worker has them.",
                .options = command_options_drain,
                .run = cmd_drain,
        },
        {
                .name = "connections",
                .args = "[SERVICE] [SLOT...]",
                .summary = "list the open connections of workers",
                .help = "Lists each worker's open connections: client, state, age, time "
                        "since data was last received or sent, and bytes received and sent. "
                        "FORMER marks a connection of a former worker, which has lost the slot "
                        "to another worker. A "
                        "connection without a slot was open before the service was "
                        "attached; its worker is unknown. A connection without an age has "
                        "been open for an unknown time.",
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
                .name = "drain-host",
                .args = "",
                .summary = "take this host out of load balancers, and wait until it is empty",
                .help = "First /ready of `web` answers 503 for each service, so that load "
                        "balancers send new connections to other hosts; workers continue to accept "
                        "connections. After --lame-duck, waits until no service has an open "
                        "connection. The exit status is 0 if the host is empty, and 3 if --timeout "
                        "expired; the open connections are then listed. The host stays draining "
                        "until `resume-host` or a reboot. The command can be repeated. See "
                        "DRAINING A HOST in reuseportd(8).",
                .options = command_options_drain_host,
                .run = cmd_drain_host,
        },
        {
                .name = "resume-host",
                .args = "",
                .summary = "end `drain-host`",
                .help = "Ends `drain-host`: /ready answers 200 again for each service that is "
                        "ready.",
                .options = command_options_resume_host,
                .run = cmd_resume_host,
        },
        {
                .name = "weight",
                .args = "[SERVICE] SLOT... WEIGHT",
                .summary = "set the weight of workers",
                .help = "Sets the weight of workers, 0 to 1000; the default is 100. A "
                        "worker's share of new connections is proportional to its weight; "
                        "with weight 0 it gets none. With round robin, the shares are exact over "
                        "each full cycle of the ring, the sequence of slots that new "
                        "connections take; with --policy sticky, they are shares of the "
                        "clients, and not exact. Weights that do not fit into a ring of 4096 "
                        "entries are rounded, and the largest error is shown.",
                .options = command_options_force,
                .run = cmd_weight,
        },
        {
                .name = "policy",
                .args = "[SERVICE] [POLICY]",
                .summary = "change how the kernel picks a worker",
                .help = "Changes how the kernel picks a worker for a new connection. "
                        "round-robin: exactly evenly; sticky: each client keeps its worker; "
                        "least-connections: of the next workers in the ring, the one with the "
                        "fewest connections for its weight. Open connections stay where they are. "
                        "What is not given stays as it is.",
                .options = command_options_policy,
                .run = cmd_policy,
        },
        {
                .name = "canary",
                .args = "[SERVICE] SLOT... --share PERCENT\n[SERVICE] --off",
                .summary = "give some workers an exact share of new connections",
                .help = "Gives the slots together exactly PERCENT of new connections, "
                        "spread out evenly; with --policy sticky, about PERCENT of the "
                        "clients. The other workers share the rest by their weights.",
                .options = command_options_canary,
                .run = cmd_canary,
        },
        {
                .name = "label",
                .args = "[SERVICE] SLOT... VERSION",
                .summary = "set the version of workers",
                .help = "Sets the version of workers, for example v2 or green. `switch` "
                        "selects workers by version. When a worker dies, the connections in "
                        "its accept queue migrate to a worker of the same version, or to "
                        "any worker if the version has no other.",
                .options = command_options_force,
                .run = cmd_label,
        },
        {
                .name = "switch",
                .args = "[SERVICE] VERSION\n[SERVICE] --off",
                .summary = "let only one version take new connections",
                .help = "Lets only workers of VERSION take new connections. The change is "
                        "in force for all workers at once. When `switch` returns, workers "
                        "of other versions get no new connection. Switching back works the "
                        "same way.",
                .options = command_options_switch,
                .run = cmd_switch,
        },
        {
                .name = "swap",
                .args = "[SERVICE] SLOT --pid PID",
                .summary = "put another process's listener into a slot",
                .help = "Only for an attached service. "
                        "Puts a listener of process PID into the slot. "
                        "The process must have a listener with the same address, port and "
                        "user, with SO_REUSEPORT. "
                        "The worker that had the slot keeps its open connections; "
                        "stop it when they have ended.",
                .options = command_options_swap,
                .run = cmd_swap,
        },
        {
                .name = "events",
                .args = "[SERVICE]",
                .summary = "list what happened to the service, with times",
                .help = "Lists what commands did and what the kernel saw: listeners that "
                        "closed, and connections that migrated, were left to the kernel's "
                        "hash (`fell_back`), or were refused (`dropped`). Connections in a row "
                        "with the same outcome "
                        "and slot are one event with a count, if at most a second passes from "
                        "one to the next. Such an event covers about a minute at most. The kernel "
                        "keeps the last "
                        "1024 "
                        "events, without any process of reuseportd, until the service is "
                        "detached or the machine restarts. A closed listener is recorded "
                        "only if connections are counted, and a stalled worker only while "
                        "`attach --watch` runs.",
                .options = command_options_events,
                .run = cmd_events,
        },
        {
                .name = "detach",
                .args = "[SERVICE]",
                .summary = "end steering: the kernel's hash selects the worker again",
                .help = "Removes the steering program (not one that has replaced it) and the "
                        "service's files in "
                        "/sys/fs/bpf. The workers keep running, and no connection is lost. A "
                        "service of `run` is refused (to end it, use `reuseportd stop`); with "
                        "--force, it can be detached after its supervisor has died.",
                .options = command_options_detach,
                .run = cmd_detach,
        },
        {
                .name = "doctor",
                .args = "[SERVICE]",
                .summary = "check the host and the service, and advise what to do",
                .help = "Checks the host, and the service if there is one. "
                        "Also tries `run`, with a temporary service that no other command "
                        "lists. Mounts the BPF file system if it is not mounted. "
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
