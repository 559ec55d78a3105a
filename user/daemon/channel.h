/* SPDX-License-Identifier: BSD-2-Clause */
/* placeholder while building */
#pragma once
#include "daemon/notify.h"
