/* SPDX-License-Identifier: BSD-2-Clause */
/* The deployment that is under way, or the last one. deployment.c changes it. */
#pragma once

#include <stdbool.h>

#include "core/deploy_settings.h"
#include "core/latency_baseline.h"
#include "core/rollout.h"
#include "core/verdict.h"
#include "supervise/types.h"

enum deployment_outcome_kind {
	DEPLOYMENT_UNDER_WAY,
	DEPLOYMENT_PROMOTED,
	DEPLOYMENT_ABORTED,     /* by a person, or judged bad */
	DEPLOYMENT_ROLLED_BACK, /* the service has the version before again */
	DEPLOYMENT_FAILED,      /* the new version has never got a connection */
	DEPLOYMENT_OUTCOME_MAX,
};

/* All times are in nanoseconds of CLOCK_REALTIME; 0 = not yet, or none. */
struct deployment {
	int64_t id; /* greater than that of the one before */
	struct plan *plan, *old;
	char label[RPD_LABEL_MAX], old_label[RPD_LABEL_MAX];
	struct deploy_settings settings;
	char **words; /* of the request that has made the settings; may be NULL */
	struct rollout_step steps[ROLLOUT_STEPS_MAX];
	size_t n_steps;
	struct slots slots; /* in the order of the rollout */
	/* The service had this many slots before one was added for a canary beside one worker; 0 =
	 * none was added. */
	unsigned int n_slots_before;
	bool goes_back; /* to the version before */
	bool returns;   /* ... and its workers were held */
	bool is_asked;  /* a person ends it */

	enum deployment_outcome_kind outcome;
	size_t step;        /* that is in force, from 1; 0 = none yet */
	unsigned int n_new; /* slots that have the new version */
	enum rollout_halt halt;
	enum rollout_judgement judgement;
	int64_t began_at, step_began_at, ended_at, held_until;
	char reason[2048];
	sd_event_source *timer; /* the end of held_until */

	struct verdict_state verdict;
	struct latency_baseline latency[3]; /* of VERDICT_SLOW_P50 to _P99 */
	uint64_t uncounted;                 /* connections, when the step began to be judged */
	size_t judged_step;                 /* that the verdict is about: its warm-up is over */
	bool is_reported;                   /* with dry-run: that it is bad */
	sd_event_source *look_timer;        /* the next look at the evidence */

	/* The settings' `check`: one that runs, the time of the next one, and what those of the
	 * step have said. */
	struct health_probe *check;
	int64_t check_at; /* CLOCK_MONOTONIC */
	uint64_t n_good_checks, n_bad_checks;
};

/* In JSON; NULL: under way. */
const char *deployment_state_outcome_name(enum deployment_outcome_kind outcome);

/* The deployment under way, or NULL. */
struct deployment *deployment_state_under_way(const struct supervisor *sup);
