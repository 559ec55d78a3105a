# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests, the benchmarks and the comparison share: the sandbox, servers,
traffic."""
