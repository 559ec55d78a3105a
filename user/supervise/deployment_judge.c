/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_judge.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "core/verdict_text.h"
#include "supervise/deployment_check.h"
#include "supervise/deployment_evidence.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_state.h"
#include "supervise/reload.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"

#define LOOK_NS NS_PER_S

static int deployment_judge_on_look(sd_event_source *source, uint64_t now, void *data);

/* @at: CLOCK_MONOTONIC, ns. */
static void deployment_judge_arm(struct supervisor *sup, int64_t at)
{
	struct deployment *it = sup->deployment;

	it->look_timer = sd_event_source_disable_unref(it->look_timer);
	memory_check(sd_event_add_time(sup->loop, &it->look_timer, CLOCK_MONOTONIC,
	                               (uint64_t)(at + 999) / 1000, 1000, deployment_judge_on_look,
	                               sup));
}

static enum verdict_time deployment_judge_time(const struct rollout *rollout, int64_t now)
{
	const int64_t end = rollout->since + rollout->steps[rollout->step].time;

	if (now < end)
		return VERDICT_EARLY;
	return rollout->deadline && now >= end + rollout->deadline ? VERDICT_LATE
	                                                           : VERDICT_TIME_OVER;
}

/* With dry-run, a bad version is reported, and passes. */
static enum rollout_judgement deployment_judge_translate(struct supervisor *sup,
                                                         enum verdict_answer answer)
{
	struct deployment *it = sup->deployment;

	switch (answer) {
	case VERDICT_GOOD:
		return ROLLOUT_GOOD;
	case VERDICT_NO_TRAFFIC:
		return ROLLOUT_NO_TRAFFIC;
	case VERDICT_BAD:
		if (!it->settings.dry_run)
			return ROLLOUT_BAD;
		if (!it->is_reported)
			report_line(sup, "'%s' is bad (dry-run: it goes on): %s", it->label,
			            it->reason);
		it->is_reported = true;
		return ROLLOUT_GOOD;
	default:
		return ROLLOUT_UNKNOWN;
	}
}

static void deployment_judge_look(struct supervisor *sup, int64_t now)
{
	struct deployment *it = sup->deployment;
	struct rollout *rollout = &sup->reload->rollout;
	const unsigned int permille = rollout->steps[rollout->step].permille;
	enum rollout_judgement judgement;
	struct verdict_counts counts;
	char text[VERDICT_TEXT_MAX];
	enum verdict_answer answer;
	const bool begins = it->judged_step != it->step;
	const char *why;

	/* The workers of the next step may be starting. */
	if (!rollout->in_force || (begins && now < rollout->since + it->settings.warm_up))
		return;
	if (begins)
		deployment_evidence_begin_step(sup);
	it->looked_at = clock_ns(CLOCK_REALTIME);
	why = deployment_evidence_read(sup, &counts);
	counts.of[VERDICT_CHECK].new = deployment_check_count(sup);
	if (begins) {
		verdict_step(&it->verdict, permille ? permille : 1000, &counts);
		it->judged_step = it->step;
		it->check_at = now;
		return;
	}
	deployment_check_run(sup, now);
	answer = verdict_look(&it->verdict, &counts, deployment_judge_time(rollout, now));
	verdict_text(&it->verdict, text);
	deployment_state_set_reason(it, text);
	if (why)
		strncat(it->reason, why, sizeof(it->reason) - strlen(it->reason) - 1);
	judgement = deployment_judge_translate(sup, answer);
	it->judgement = judgement;
	if (judgement == ROLLOUT_BAD)
		snprintf(sup->reload->why, sizeof(sup->reload->why), "%s", text);
	rollout_judge(rollout, judgement);
}

static int deployment_judge_on_look(sd_event_source *source, uint64_t now, void *data)
{
	struct supervisor *sup = data;

	deployment_judge_look(sup, clock_ns(CLOCK_MONOTONIC));
	deployment_note_write(sup);
	deployment_judge_arm(sup, clock_ns(CLOCK_MONOTONIC) + LOOK_NS);
	reload_advance(sup); /* may end the deployment */
	return 0;
}

void deployment_judge_begin(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;
	const struct verdict_rules rules = {.tolerate = it->settings.tolerate,
	                                    .confidence = it->settings.confidence,
	                                    .min_samples = it->settings.min_samples,
	                                    .max_error_rate = it->settings.max_error_rate,
	                                    .check = it->settings.check[0] != '\0',
	                                    .http = it->outcome == DEPLOYMENT_UNDER_WAY &&
	                                            deployment_evidence_begin(sup)};

	verdict_begin(&it->verdict, &rules);
	it->judged_step = 0;
}

/* The first look is at the end of the warm-up. After a take-over, the next one comes no sooner than
 * without: a look weighs the same, however short it is. */
static int64_t deployment_judge_first(const struct supervisor *sup)
{
	const struct deployment *it = sup->deployment;
	const int64_t warm = sup->reload->rollout.since + it->settings.warm_up;
	int64_t left = it->looked_at + LOOK_NS - clock_ns(CLOCK_REALTIME), next;

	if (it->judged_step != it->step || left <= 0)
		return warm;
	if (left > LOOK_NS) /* the clock was set */
		left = LOOK_NS;
	next = clock_ns(CLOCK_MONOTONIC) + left;
	return next > warm ? next : warm;
}

void deployment_judge_watch(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	it->judgement = ROLLOUT_UNKNOWN;
	deployment_check_end(sup); /* of the step before */
	if (it->step && it->steps[it->step - 1].judged)
		deployment_judge_arm(sup, deployment_judge_first(sup));
	else
		deployment_judge_end(sup);
}

void deployment_judge_end(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	deployment_check_end(sup);
	it->look_timer = sd_event_source_disable_unref(it->look_timer);
}
