/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands. command.c has a row for each: name, arguments, options, help and function. main()
 * finds the row; command_line.h fills a struct invocation by it; the function gets the invocation.
 * --help, the manual page and bash's completion are made from the same rows.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"
#include "config/args.h"
#include "config/option.h"
#include "core/slots.h"
#include "service/attach.h"
#include "service/swap.h"
#include "web/web_process.h"

#define INVOCATION_ARGS_MAX (RPD_SLOT_MAX + 2)
#define INVOCATION_FDS_MAX  RPD_ENDPOINT_MAX

/* The parsed command line. Strings belong to the command line. */
struct invocation {
	const char *service; /* --service, or the argument SERVICE; NULL = the only service */
	bool json;
	bool force;
	bool off;             /* canary --off, switch --off */
	bool watch;           /* attach --watch, status --watch, rollout --watch */
	bool wait_empty;      /* drain --wait */
	bool close_remaining; /* drain, drain-host --close-remaining */
	bool follow;          /* events --follow */
	int64_t timeout;      /* drain, drain-host, deploy --timeout, nanoseconds; -1 = not given */
	int64_t lame_duck;    /* drain-host --lame-duck, nanoseconds; -1 = not given */
	bool has_workers, no_count;
	unsigned int count_max; /* attach --count-max; 0 = not given */
	int64_t wait;           /* attach --wait, nanoseconds */
	long share;             /* canary --share, in tenths of a percent; 0 = not given */
	struct attach_request attach;
	struct dealing dealing;     /* policy; RPD_POLICY_MAX, -1 and 0 choices = not given */
	struct rpd_endpoint listen; /* metrics --listen, attach --metrics; family 0 = not given */
	struct web_process_command web; /* web; without an address = not given */
	uint32_t swap_pid;
	int fds[INVOCATION_FDS_MAX];
	size_t n_fds;
	char *args[INVOCATION_ARGS_MAX]; /* the arguments that are not options */
	int n_args;
	struct args run;           /* run, check; reload: its command */
	bool in_place, keep_going; /* reload, restart */
	unsigned int batch;        /* reload; 0 = the batch of `run` */
	const char *relabel;       /* reload --label, deploy --label */
	char **settings;           /* deploy: its options as NAME=VALUE; or NULL */
	bool supersede;            /* deploy --supersede */
	bool stay, leave;          /* deploy --wait, --detach */
	bool full;                 /* promote --full */
	bool history;              /* rollout --history */
	const char *why;           /* abort --why */
	const char *to;            /* rollback --to */
	unsigned int supervisor;   /* reload --supervisor; 0 = not given */
};

struct command {
	const char *name;
	const char *args; /* for the usage line; each line is one way to call the command */
	const char *summary;
	const char *help;
	const struct option_row *options; /* of struct invocation (command_options.h) */
	/* Returns the exit status, or a negative errno with @err set. */
	int (*run)(struct invocation *invocation, struct error *err);
	bool unprivileged;  /* does what it can for any user */
	bool run_options;   /* has the options of config/run_option.h as well, and takes a FILE */
	bool takes_command; /* takes a COMMAND with its own arguments after "--" */
};

/* The last one has no name. */
extern const struct command commands[];

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);

/* The command's @i-th option, of both tables; NULL at the end. */
const struct option_row *command_option(const struct command *command, size_t i);

/* The functions of the table, each in its file cmd_*.c. */
typedef int command_function(struct invocation *invocation, struct error *err);
extern command_function cmd_run, cmd_check, cmd_reload, cmd_restart, cmd_scale, cmd_stop, cmd_start,
        cmd_attach, cmd_detach, cmd_status, cmd_top, cmd_list, cmd_metrics, cmd_web, cmd_doctor,
        cmd_drain, cmd_resume, cmd_connections, cmd_weight, cmd_policy, cmd_canary, cmd_label,
        cmd_switch, cmd_swap, cmd_events, cmd_reopen_logs, cmd_deploy, cmd_rollout, cmd_promote,
        cmd_pause, cmd_abort, cmd_rollback, cmd_drain_host, cmd_resume_host;
