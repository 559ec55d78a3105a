/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a service is deployed: the settings that the configuration of a service, and the command
 * `deploy`, may give. Plain data without pointers. config/deploy_option.h sets it by option names.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <reuseportd/ignored_abi.h>

enum deploy_strategy {
	DEPLOY_ROLLING,    /* batch by batch, as `reload` */
	DEPLOY_BLUE_GREEN, /* all new workers at once */
	DEPLOY_CANARY,     /* an exact share of the connections, which grows step by step */
	DEPLOY_STRATEGY_MAX,
};

#define DEPLOY_STRATEGY_NAMES "rolling, blue-green or canary"
#define DEPLOY_STEPS_MAX      256 /* of the text of steps, with the final NUL */
#define DEPLOY_COMMAND_MAX    256 /* of a command, with the final NUL */
#define DEPLOY_FOR_EVER       INT64_MAX

/* Times are in nanoseconds. */
struct deploy_settings {
	enum deploy_strategy strategy;
	char steps[DEPLOY_STEPS_MAX]; /* of a canary: for example "5% 2m, 25% 3m, 50% pause" */
	int64_t warm_up; /* after the admission of new workers; what happens then is not judged
	                  */
	int64_t step_deadline; /* how long a step may take beyond its time to get enough samples */
	unsigned int min_samples; /* of the new version, in each step */
	unsigned int tolerate;    /* the new version may have this many errors for each 100 of the
	                             old version */
	unsigned int max_error_rate; /* permille; 0 = no limit */
	unsigned int confidence;     /* permille: of 1,000 good versions at least so many pass */
	int64_t pause_timeout;       /* a pause that lasts longer ends in an abort */
	int64_t keep_old;            /* after the promotion: how long the old workers are held */
	int64_t keep_new; /* after an abort: how long the new ones are; DEPLOY_FOR_EVER */
	bool dry_run;     /* judge and report; abort only if a worker fails */
	char check[DEPLOY_COMMAND_MAX]; /* judges the new version too; "" = none */
	int64_t check_interval;         /* also of the gate's questions */
	char gate[DEPLOY_COMMAND_MAX];  /* lets the start, each step and the promotion come; "" =
	                                   none */
	struct rpd_ignored ignore;      /* clients that are not judged */
	char on_change[DEPLOY_COMMAND_MAX]; /* is run at each change; "" = none */
};

/* Sets every member to its default. */
void deploy_settings_init(struct deploy_settings *settings);

/* The name of a strategy, for people and JSON. */
const char *deploy_settings_strategy_name(enum deploy_strategy strategy);

/* Returns 0, or -EINVAL if there is no such strategy. */
int deploy_settings_parse_strategy(const char *name, enum deploy_strategy *ret);
