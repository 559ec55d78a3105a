/* SPDX-License-Identifier: BSD-2-Clause */
/* How a connection ended: every connection that was begun has exactly one outcome. */
#pragma once

/* Each outcome, and its name in the report, the log and the JSON object. */
#define OUTCOMES(X)                                                                                \
	X(OK, "ok")                                                                                \
	X(REFUSED, "refused")                                                                      \
	X(RESET, "reset")                                                                          \
	X(TIMEOUT, "timeout")                                                                      \
	X(CLOSED_EARLY, "closed_early")                                                            \
	X(BAD_ANSWER, "bad_answer")                                                                \
	X(LOCAL_ERROR, "local_error")

enum outcome {
#define OUTCOME_SYMBOL(symbol, name) OUTCOME_##symbol,
	OUTCOMES(OUTCOME_SYMBOL) OUTCOME_MAX,
};

const char *outcome_name(enum outcome outcome);

/* The outcome of a connection on which a system call failed with @error. */
enum outcome outcome_of_errno(int error);
