/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration of `reuseportd run`: one service, the command of its workers and how the
 * supervisor treats them. Plain data; config/run_option.h sets it by option names, from the command
 * line and from files alike.
 *
 * All times are nanoseconds. The struct owns its strings and vectors (run_config_free()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "core/dealing.h"
#include "core/deploy_settings.h"
#include <reuseportd/abi.h>

enum ready_kind {
	READY_LISTEN,  /* it listens (core/ready_rule.h) */
	READY_NOTIFY,  /* sd_notify READY=1 */
	READY_MESSAGE, /* "ready" on the Node channel */
	READY_HTTP,    /* GET ready_argument through its listener answers 2xx or 3xx */
	READY_TCP,     /* its listener accepts: it sends data, or the connection stays open */
	READY_EXEC,    /* the shell command ready_argument exits with 0 */
	READY_ALIVE,   /* it listens, or has lived for alive_after */
	READY_KIND_MAX,
};

enum run_log {
	RUN_LOG_PLAIN,  /* lines unchanged */
	RUN_LOG_PREFIX, /* the worker before each line */
};

/* How a reload replaces a worker. */
enum run_in_place {
	RUN_IN_PLACE_NO,  /* the new worker starts beside the old one */
	RUN_IN_PLACE_YES, /* the old worker ends before the new one starts */
	/* As RUN_IN_PLACE_NO while a worker of the service listens, else as RUN_IN_PLACE_YES. For a
	 * program that may run only once at a time, unless its processes share a port. */
	RUN_IN_PLACE_UNLESS_LISTENING,
};

/* The least number above all exit statuses: 0 to 255, or 128 + the number of a signal. */
#define RUN_EXIT_MAX 256

struct run_config {
	char service[RPD_LABEL_MAX]; /* "" = PROGRAM, or PROGRAM-PORT with one --listen */
	/* The endpoints of --listen; family 0 = any address. None: every fixed port that a worker
	 * listens on. */
	struct rpd_endpoint listens[RPD_ENDPOINT_MAX];
	size_t n_listens;
	unsigned int workers; /* 1..RPD_SLOT_MAX ("max" is resolved); 0 = not set yet */
	bool pass_sockets;    /* as LISTEN_FDS; needs listens */
	struct dealing dealing;
	bool no_count;
	bool http;                 /* count HTTP responses */
	char label[RPD_LABEL_MAX]; /* the workers' version */

	char **argv; /* the command, NULL-terminated */
	char **env;  /* NAME=VALUE in addition to our environment, NULL-terminated; may be NULL */
	/* Files of NAME=VALUE lines, in order, for what env does not have. NULL-terminated; may be
	 * NULL */
	char **env_files;
	/* PM2's increment_var: the worker gets the value of each of these variables, or 0, plus its
	 * slot. NULL-terminated; may be NULL */
	char **increment_vars;
	char *instance_var;       /* the variable that has the slot; NULL = NODE_APP_INSTANCE */
	char *cwd, *user, *group; /* NULL = ours */
	/* Why no worker can be started: an env file or cwd that can't be read. NULL = no reason. */
	char *fault;
	/* What the user database had for user and group when the configuration was loaded
	 * (credentials_format()); NULL = not looked up */
	char *identity;
	/* Another user controls the configuration file: nothing is done for the service with more
	 * rights than its workers have. */
	bool limited;
	/* Files for standard output and error, by appending; NULL = ours. Both are also appended to
	 * log_file; NULL = none. Without merge_logs each worker has its own: "-SLOT" is inserted
	 * before the name's extension, except for a device or a pipe. */
	char *out_file, *error_file, *log_file;
	bool merge_logs;
	enum run_log log;
	/* Loopback addresses are shared as others are, and no worker's own: as in cluster mode of
	 * PM2 */
	bool share_loopback;
	bool open_input; /* standard input never ends, as in PM2; otherwise it is /dev/null */

	enum ready_kind ready;
	char *ready_argument; /* the path, or the shell command */
	/* With READY_ALIVE; with READY_MESSAGE: after this time a worker of a program that never
	 * sends the message is ready without it (core/ready_rule.h), 0 = never. */
	int64_t alive_after;
	int64_t ready_timeout;
	int64_t settle; /* on a reload: how long a ready worker must live before it gets the slot */
	int64_t health_interval; /* 0 = no health checks. `ready` must be a probe. */
	int64_t health_timeout;
	unsigned int health_failures; /* failures in a row after which a worker is unhealthy */

	int stop_signal;       /* default: SIGTERM */
	int drain_signal;      /* 0 = none */
	bool drain_message;    /* send "drain" on the Node channel when the drain begins */
	bool kill_mixed;       /* the stop signal goes to the main process alone */
	bool shutdown_message; /* send "shutdown" on the Node channel instead of the stop signal */
	int64_t drain_timeout, kill_timeout, park_timeout;
	int64_t lame_duck; /* after a signal to stop: how long all goes on; 0 = stop at once */

	bool restart; /* a worker that ended is started again */
	/* Bit n % 64 of [n / 64]: a worker that ended with exit status n is not started again. */
	uint64_t stop_exit_codes[RUN_EXIT_MAX / 64];
	int64_t restart_delay; /* before each restart, in addition to the backoff; 0 = none */
	int64_t backoff_min, backoff_max; /* doubles from crash to crash */
	bool backoff_of_pm2; /* begins with the first crash, and grows by half (restart_backoff.h)
	                      */
	unsigned int max_restarts; /* crashes in a row after which the slot is failed */
	int64_t min_uptime;        /* a worker that was ready this long resets the crash counter */
	char *cron_restart;        /* when to replace all workers (core/cron.h); NULL = never */
	uint64_t max_memory;       /* bytes; a worker that uses more is replaced; 0 = no limit */
	uint64_t memory_limit;     /* bytes, by cgroup; 0 = none */
	unsigned int cpu_limit;    /* permille of one CPU, by cgroup; 0 = none */

	unsigned int batch;      /* how many workers are replaced at a time */
	unsigned int max_former; /* of a slot: how many former workers may drain at the same time */
	enum run_in_place in_place;
	bool keep_going; /* a reload that fails is not rolled back */
	struct deploy_settings deploy;

	/* The process that serves HTTP, one for all services: its address, as
	 * http_address_parse() has it, and so on; NULL = none */
	char *web, *web_token_file, *web_host;
	char *web_min_live, *web_agent; /* as min_live_parse() and endpoint_parse() have them */
	bool web_admin;
};

/* Sets every member to its default. */
void run_config_init(struct run_config *config);

/* Checks that the settings fit together: that there is a command, that pass_sockets has listens,
 * that health checks have a probe, and so on. error_usage() with the first problem. */
int run_config_check(const struct run_config *config, struct error *err);

/* As run_config_check(), but calls @report for every problem: @option is the option at fault
 * (config/run_option.h), or NULL for the command. Returns the number of problems. */
size_t run_config_report_problems(const struct run_config *config,
                                  void (*report)(void *data, const char *option, const char *text),
                                  void *data);

/* Whether a worker that has ended with @status is not started again, because stop_exit_codes has
 * the status. A negative status is unknown. */
bool run_config_stops_at(const struct run_config *config, int status);

/* Sets the default of `service`, unless a name is set. Needs argv. */
void run_config_set_default_name(struct run_config *config);

/* Makes a copy that owns its strings. Returns 0 or -ENOMEM. */
int run_config_copy(const struct run_config *config, struct run_config *ret);

/* Sets the command, which the configuration owns from then on, and the label, which is valid. NULL:
 * it stays as it is. */
void run_config_set_command(struct run_config *config, char **argv, const char *label);

/* Writes the configuration for run_config_read(), which must be of the same program. Errors are
 * those of @out. */
void run_config_write(const struct run_config *config, FILE *out);

/* Reads what run_config_write() has written. Returns 0, or a negative errno with *ret unchanged. */
int run_config_read(FILE *in, struct run_config *ret);

void run_config_free(struct run_config *config);
