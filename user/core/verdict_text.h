/* SPDX-License-Identifier: BSD-2-Clause */
/* Explains a judgement to people. Pure. */
#pragma once

#include <stddef.h>

#include "core/verdict.h"

#define VERDICT_TEXT_MAX 512

/* One line for a signal, for example "responses 5xx: 12 of 480 (new), 9 of 9,100 (old): evidence
 * 2,310 of 1,000". */
void verdict_text_signal(const struct verdict_state *state, enum verdict_signal signal,
                         char ret[VERDICT_TEXT_MAX]);

/* Why the last look was answered as it was: the line of the signal that decided, or such as "37 of
 * 100 samples of the new version in this step"; then, if no HTTP was seen though responses are
 * counted, that the rest decides. */
void verdict_text(const struct verdict_state *state, char ret[VERDICT_TEXT_MAX]);
