/* SPDX-License-Identifier: BSD-2-Clause */
/* The deployment that is under way, or the last one. deployment.c changes it. */
#pragma once

#include <stdbool.h>

#include "core/deploy_settings.h"
#include "core/latency_baseline.h"
#include "core/rollout.h"
#include "core/verdict.h"
#include "supervise/types.h"

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
	bool unasked;   /* ... because no worker of the other version lived */
	bool is_asked;  /* a person ends it */
	bool is_passed; /* a person has promoted the step, and the next one has not begun yet */
	bool is_full;   /* ... and all further ones */

	enum deployment_outcome_kind outcome;
	size_t step;        /* that is in force, from 1; 0 = none yet */
	size_t begun;       /* that is in force, or gets its workers */
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
	int64_t looked_at;                  /* at the evidence */
	bool is_reported;                   /* with dry-run: that it is bad */
	sd_event_source *look_timer;        /* the next look at the evidence */

	/* The settings' `check`: one that runs, the time of the next one, and what those of the
	 * step have said. */
	struct health_probe *check;
	int64_t check_at; /* CLOCK_MONOTONIC */
	uint64_t n_good_checks, n_bad_checks;

	/* The settings' `gate`: one that runs, the next one, and what it is asked about; NULL:
	 * nothing. */
	struct health_probe *gate;
	sd_event_source *gate_timer;
	const char *gate_about;
	size_t gate_number;
};

/* Whether there is a gate: not on the way back. */
bool deployment_state_is_gated(const struct deployment *it);

/* The reason: why the deployment is halted, if it is, and @text, which may be empty. */
void deployment_state_set_reason(struct deployment *it, const char *text);

/* Makes the steps of the settings, for the slots of the deployment. Returns 0, or error_usage(). */
int deployment_state_plan_steps(struct deployment *it, struct error *err);

/* The rollout that the deployment begins with. */
void deployment_state_begin_rollout(const struct deployment *it, struct rollout *ret);

/* The share of new connections, in percent, that a step gives to the new version, and the one that
 * the new version has now. */
double deployment_state_step_share(const struct deployment *it, const struct rollout_step *step);
double deployment_state_share(const struct deployment *it);

/* The deployment under way, or NULL. */
struct deployment *deployment_state_under_way(const struct supervisor *sup);
