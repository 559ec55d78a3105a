/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command table: each command's name, arguments, options, help and function in one row. main()
 * finds the row, argp(3) parses by it and prints its --help, and the function gets the result.
 */
#pragma once

#include <argp.h>
#include <stdbool.h>

#include "base/error.h"
#include "config/args.h"
#include "core/slots.h"
#include "service/attach.h"
#include "service/swap.h"

#define INVOCATION_ARGS_MAX (RPD_SLOT_MAX + 2)
#define INVOCATION_FDS_MAX  RPD_ENDPOINT_MAX

/* What the command line said. */
struct invocation {
	const char *service; /* --service, or the argument of that meaning; NULL = the only one */
	bool json;
	bool force;
	bool off;             /* canary --off, switch --off */
	bool watch;           /* attach --watch, status --watch */
	bool wait_empty;      /* drain --wait */
	bool close_remaining; /* drain --close-remaining */
	bool follow;          /* events --follow */
	double timeout;       /* drain --timeout, seconds; -1 = not given */
	bool has_workers, has_count_max, no_count;
	long share; /* canary --share, in tenths of a percent; 0 = not given */
	struct attach_request attach;
	struct rpd_endpoint listen; /* metrics --listen, attach --metrics; family 0 = not given */
	uint32_t swap_pid;
	int fds[INVOCATION_FDS_MAX];
	size_t n_fds;
	char *args[INVOCATION_ARGS_MAX]; /* what is not an option */
	int n_args;
	bool takes_command, takes_file; /* of the command that it is an invocation of */
	struct args run;                /* run, check; reload: its command */
	bool in_place, keep_going;      /* reload, restart */
	long batch;                     /* reload; 0 = as the service has it */
	const char *relabel;            /* reload --label */
	long supervisor;                /* reload --supervisor; 0 = not given */
};

struct command {
	const char *name;
	const char *args; /* for the usage line */
	const char *summary;
	const char *help;
	const struct argp_option *options;
	/* Returns the exit status, or a negative errno with @err set. */
	int (*run)(struct invocation *invocation, struct error *err);
	bool unprivileged; /* works, as far as it can, for any user */
	bool run_options; /* config/run_option.h has its options; `options` are those beside them */
	bool takes_command; /* behind "--" are not its arguments, but a command with its own */
};

extern const struct command commands[];

/* The option keys, and which options belong together. */
enum option_key {
	OPTION_SERVICE = 's',
	OPTION_JSON = 'j',
	OPTION_FORCE = 'f',
	OPTION_WORKERS = 'w',
	OPTION_PORT = 'p',
	OPTION_ADDRESS = 'a',
	OPTION_PID = 256,
	OPTION_WAIT,
	OPTION_POLICY,
	OPTION_STRICT,
	OPTION_NO_COUNT,
	OPTION_COUNT_MAX,
	OPTION_LABEL,
	OPTION_WATCH,
	OPTION_SHARE,
	OPTION_OFF,
	OPTION_FD,
	OPTION_WAIT_EMPTY,
	OPTION_TIMEOUT,
	OPTION_CLOSE_REMAINING,
	OPTION_FOLLOW,
	OPTION_LISTEN,
	OPTION_METRICS,
	OPTION_BATCH,
	OPTION_IN_PLACE,
	OPTION_KEEP_GOING,
	OPTION_RELABEL,
	OPTION_SUPERVISOR,
	OPTION_ONLY,
	OPTION_RUN_ENV, /* check --env */
};

_Static_assert(OPTION_RUN_ENV < ARGS_KEY, "the keys from there on are run's");

/* All options of the command, of which some tables have only the rest. */
const struct argp_option *command_options(const struct command *command);

/* argp's parser for every command: which options there are is the command's table. */
error_t command_parse(int key, char *text, struct argp_state *state);

/* `reuseportd --help`. */
void command_overview(FILE *out);

/* The functions of the table, in the files cmd_*.c. */
int cmd_run(struct invocation *invocation, struct error *err);
int cmd_reload(struct invocation *invocation, struct error *err);
int cmd_restart(struct invocation *invocation, struct error *err);
int cmd_scale(struct invocation *invocation, struct error *err);
int cmd_stop(struct invocation *invocation, struct error *err);
int cmd_start(struct invocation *invocation, struct error *err);
int cmd_check(struct invocation *invocation, struct error *err);
int cmd_attach(struct invocation *invocation, struct error *err);
int cmd_detach(struct invocation *invocation, struct error *err);
int cmd_status(struct invocation *invocation, struct error *err);
int cmd_metrics(struct invocation *invocation, struct error *err);
int cmd_top(struct invocation *invocation, struct error *err);
int cmd_list(struct invocation *invocation, struct error *err);
int cmd_doctor(struct invocation *invocation, struct error *err);
int cmd_drain(struct invocation *invocation, struct error *err);
int cmd_connections(struct invocation *invocation, struct error *err);
int cmd_events(struct invocation *invocation, struct error *err);
int cmd_resume(struct invocation *invocation, struct error *err);
int cmd_weight(struct invocation *invocation, struct error *err);
int cmd_canary(struct invocation *invocation, struct error *err);
int cmd_label(struct invocation *invocation, struct error *err);
int cmd_switch(struct invocation *invocation, struct error *err);
int cmd_swap(struct invocation *invocation, struct error *err);
