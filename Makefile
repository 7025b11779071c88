# SPDX-License-Identifier: Apache-2.0
#
# The whole interface: make, make demo, make test, make check, make bench (see README.md), and for
# those who change weir: unit, gen, fuzz, coverage, figures, interop, crash, format (CONTRIBUTING.md).
# One file and no recursion over directories: every source under src/ belongs to one archive, so a
# new file needs no line here. Variables choose the flavour, each with a build directory of its own:
#   make unit CC=clang        another compiler
#   make unit SAN=asan        address and undefined-behaviour sanitizers
#   make unit SAN=tsan        thread sanitizer
#   make WERROR=              warnings stay warnings

ifeq ($(origin CC),default)
CC := gcc
endif
SAN ?=
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DEFAULT_GOAL := all

CC_KIND := $(if $(findstring clang,$(notdir $(CC))),clang,gcc)
FLAVOUR := $(CC_KIND)-$(or $(SAN),release)
B := build/$(FLAVOUR)

# --- Flags -----------------------------------------------------------------------------------------

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wcast-qual -Wpointer-arith \
	-Wundef -Wvla -Wformat=2 -Wdouble-promotion -Wswitch-enum -Wimplicit-fallthrough -Wdate-time
ifeq ($(CC_KIND),clang)
WARN += -Wcomma -Wconditional-uninitialized -Wunreachable-code-aggressive -Wassign-enum
KNOWN_COMPILER := 14
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Warith-conversion \
	-Wno-format-truncation
KNOWN_COMPILER := 12
endif
# Warnings are errors only with the compilers that the checks run with: a newer one may warn of new
# things, and that is no reason why weir should not build for a user.
CC_MAJOR := $(firstword $(subst ., ,$(shell $(CC) -dumpversion 2>/dev/null)))
WERROR ?= $(if $(filter $(KNOWN_COMPILER),$(CC_MAJOR)),-Werror)

COMMON := -std=gnu17 -D_GNU_SOURCE -Isrc -I. -g -fno-common -fno-strict-aliasing \
	-fno-omit-frame-pointer -fvisibility=hidden -ffp-contract=off -pthread
ifeq ($(SAN),)
# No sanitizer: what users get, hardened.
FLAVOUR_CFLAGS := -O2 -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fPIE
ifeq ($(shell uname -m),x86_64)
FLAVOUR_CFLAGS += -fcf-protection=full
endif
FLAVOUR_LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack
ifeq ($(CC_KIND),gcc)
# Frames are judged here only: sanitizers put red zones around every variable.
FLAVOUR_CFLAGS += -ftrivial-auto-var-init=zero -Wstack-usage=16384
endif
else ifeq ($(SAN),asan)
FLAVOUR_CFLAGS := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
FLAVOUR_LDFLAGS := -fsanitize=address,undefined
else ifeq ($(SAN),tsan)
FLAVOUR_CFLAGS := -O1 -fsanitize=thread
FLAVOUR_LDFLAGS := -fsanitize=thread
else ifeq ($(SAN),fuzz)
FLAVOUR_CFLAGS := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAVOUR_LDFLAGS := -fsanitize=fuzzer,address,undefined
else ifeq ($(SAN),cov)
FLAVOUR_CFLAGS := -O1 -fprofile-instr-generate -fcoverage-mapping -fsanitize=fuzzer-no-link
FLAVOUR_LDFLAGS := -fprofile-instr-generate -fsanitize=fuzzer
else
$(error SAN=$(SAN) is unknown: asan, tsan, fuzz, cov or nothing)
endif
ifneq ($(filter fuzz cov,$(SAN)),)
ifneq ($(CC_KIND),clang)
$(error SAN=$(SAN) needs CC=clang)
endif
endif

CFLAGS_ALL := $(COMMON) $(WARN) $(WERROR) $(FLAVOUR_CFLAGS) $(CPPFLAGS) $(CFLAGS)
LDFLAGS_ALL := $(FLAVOUR_LDFLAGS) $(LDFLAGS) -pthread -Wl,--as-needed
LIBS := -luv -llz4 -lzstd -lz -lsnappy -ljansson -lm

# --- Files -----------------------------------------------------------------------------------------

SOURCES := $(sort $(wildcard src/*/*.c src/*/*/*.c))
TEST_SOURCES := $(filter %_test.c,$(SOURCES)) $(sort $(wildcard tools/*_test.c tools/*/*_test.c))
FUZZ_SOURCES := $(filter %_fuzz.c,$(SOURCES))
MAIN_SOURCE := $(wildcard src/cli/main.c)
ROOM_SOURCES := $(filter-out %_test.c %_fuzz.c src/cli/main.c,$(SOURCES))
TOOL_SOURCES := $(filter-out %_test.c,$(sort $(wildcard tools/*.c)))
TIDY_SOURCES := $(filter-out %_test.c,$(sort $(wildcard tools/tidy/*.c)))
HEADERS := $(sort $(wildcard src/*/*.h src/*/*/*.h))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
ROOM_OBJECTS := $(call obj,$(ROOM_SOURCES))
TESTS := $(patsubst %.c,$(B)/test/%,$(TEST_SOURCES))
FUZZERS := $(patsubst %.c,$(B)/fuzz/%,$(FUZZ_SOURCES))
TOOLS := $(patsubst tools/%.c,$(B)/tools/%,$(TOOL_SOURCES))
ARCHIVE := $(B)/libweir.a

# --- Building --------------------------------------------------------------------------------------

.PHONY: all unit test check demo bench interop crash install fuzz coverage figures gen format clean FORCE
.SECONDARY:

ifeq ($(MAIN_SOURCE),)
all: $(ARCHIVE)
	@echo "src/cli/main.c is not there yet: no ./weir"
else ifeq ($(FLAVOUR),gcc-release)
all: weir
else
all: $(B)/weir
endif

weir: $(B)/weir
	@cp -f $< $@.new && mv -f $@.new $@

$(B)/weir: $(call obj,$(MAIN_SOURCE)) $(ARCHIVE)
	@echo "  link $@"
	@$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS_ALL) $(LIBS)

# The first build looks for packages. Files that change only when their content does: objects depend on the flags, the archive on the
# list of its members, so that a removed source leaves the archive.
$(B)/flags: FORCE
	@[ -e $@ ] || tools/setup.sh build || echo "weir: going on without; what is missing may be elsewhere"
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS_ALL)' | cmp -s - $@ || echo '$(CC) $(CFLAGS_ALL)' >$@
$(B)/members: FORCE
	@mkdir -p $(@D)
	@echo '$(ROOM_OBJECTS)' | cmp -s - $@ || echo '$(ROOM_OBJECTS)' >$@

$(ARCHIVE): $(ROOM_OBJECTS) $(B)/members
	@rm -f $@
	@$(AR) rcs $@ $(ROOM_OBJECTS)

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  cc   $<"
	@$(CC) $(CFLAGS_ALL) $(FILE_CFLAGS) -MMD -MP -c -o $@ $<
# A test may keep its tables on the stack.
ifeq ($(CC_KIND),gcc)
$(B)/obj/%_test.o: FILE_CFLAGS := -Wno-stack-usage
endif

$(B)/test/%: $(B)/obj/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -o $@ $< $(ARCHIVE) $(LDFLAGS_ALL) -lcmocka $(LIBS)

$(B)/fuzz/%: $(B)/obj/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -o $@ $< $(ARCHIVE) $(LDFLAGS_ALL) $(LIBS)

# Tools run on the machine that builds; they need the archive no more than a user's shell does.
$(B)/tools/%: $(B)/obj/tools/%.o
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -o $@ $< $(filter-out -fsanitize=fuzzer%,$(LDFLAGS_ALL))

$(B)/tools/tidy: $(call obj,$(TIDY_SOURCES))
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -o $@ $^ $(LDFLAGS_ALL)

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# --- Generated tables (committed; `make check` makes them again and compares) ------------------------

GEN := $(B)/gen/src
GEN_DOC := $(B)/gen/doc
.PHONY: gen-tree
gen-tree: $(B)/tools/gen_err $(B)/tools/gen_msg $(B)/tools/gen_amqp $(B)/tools/gen_doc
	@rm -rf $(GEN) $(GEN_DOC) && mkdir -p $(GEN)/base/gen $(GEN)/wire/gen $(GEN_DOC)
	@for page in settings metrics formats; do \
		$(B)/tools/gen_doc $$page >$(GEN_DOC)/$$page.md || exit 1; done
	@$(B)/tools/gen_err enum schema/errors.tab >$(GEN)/base/gen/err_enum.h
	@$(B)/tools/gen_err table schema/errors.tab >$(GEN)/base/gen/err_table.h
	@$(B)/tools/gen_msg $(GEN)/wire/gen $(sort $(wildcard schema/kafka/*.msg))
	@$(B)/tools/gen_amqp header schema/amqp.msg >$(GEN)/wire/gen/amqp_methods.h
	@$(B)/tools/gen_amqp source schema/amqp.msg >$(GEN)/wire/gen/amqp_methods.c

# Only what has changed is written, so that nothing is compiled again without need.
gen: gen-tree
	@mkdir -p doc && cp $(GEN_DOC)/*.md doc/
	@cd $(GEN) && for f in */gen/*; do \
		cmp -s $$f $(CURDIR)/src/$$f || { mkdir -p $(CURDIR)/src/$${f%/*}; \
			cp $$f $(CURDIR)/src/$$f; echo "  gen  src/$$f"; }; done

# --- Tests -----------------------------------------------------------------------------------------

unit: $(TESTS)
	@tools/unit.sh $(B) $(TESTS)

# The simulator in this flavour; what all seeds found adds up in its own closing line.
SIM_SEEDS ?= 200
sim: $(B)/weir
	@$(B)/weir sim --seed 1 --seeds $(SIM_SEEDS) --twice
.PHONY: sim

test:
	@tools/test.sh

demo:
	@tools/setup.sh build demo
	@$(MAKE) all
	@demo/run.sh

bench:
	@tools/setup.sh build bench
	@$(MAKE) all
	@bench/run.sh

interop:
	@tools/setup.sh build interop
	@$(MAKE) all
	@test/interop/run.sh

# The long form of what `make test` does in 5 rounds, and the proof that it can fail.
crash:
	@tools/setup.sh build test
	@$(MAKE) all
	@test/crash/run.sh --rounds 100 --rate 24000000
	@test/crash/planted.sh

# --- Checks ----------------------------------------------------------------------------------------

check:
	@tools/setup.sh build check
	@tools/check.sh

by_hand = $(foreach file,$(1),$(if $(findstring /gen/,$(file)),,$(file)))
FORMATTED := $(call by_hand,$(SOURCES) $(HEADERS) $(sort $(wildcard tools/*.[ch] tools/*/*.[ch])))
format:
	@clang-format -i $(FORMATTED)
.PHONY: check-format check-headers check-gen check-style check-fanalyzer check-clang-tidy
check-format:
	@clang-format --dry-run -Werror $(FORMATTED)

# Each header alone, as the first line of a file: what it needs it must include itself.
HEADER_MARKS := $(patsubst %.h,$(B)/header/%.ok,$(HEADERS))
check-headers: $(HEADER_MARKS)
$(B)/header/%.ok: %.h $(B)/flags
	@mkdir -p $(@D)
	@printf '#include "%s"\nextern int not_empty;\n' $(patsubst src/%,%,$<) | \
		$(CC) $(CFLAGS_ALL) -MMD -MP -MT $@ -MF $(B)/header/$*.d -fsyntax-only -x c -
	@touch $@
-include $(shell find $(B)/header -name '*.d' 2>/dev/null)

check-gen: gen-tree
	@for dir in base/gen wire/gen; do diff -r -u $(GEN)/$$dir src/$$dir || exit 1; done
	@for page in $(GEN_DOC)/*.md; do diff -u $$page doc/$${page##*/} || exit 1; done

check-style: $(B)/tools/tidy
	@$(B)/tools/tidy

figures: $(B)/tools/tidy
	@$(B)/tools/tidy --figures

# Static analysis remembers what it has seen: a file is looked at again when it or a header changed.
# gcc 12 loses track of what a function leaves in an output parameter; clang's analyzer, which runs as
# well, does not, so that warning is left to it.
ANALYZED := $(call by_hand,$(ROOM_SOURCES) $(MAIN_SOURCE) $(TOOL_SOURCES) $(TIDY_SOURCES))
check-fanalyzer: $(patsubst %.c,$(B)/fanalyzer/%.ok,$(ANALYZED))
$(B)/fanalyzer/%.ok: %.c $(B)/flags
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_ALL) -fanalyzer -fdiagnostics-path-format=none -Wno-analyzer-use-of-uninitialized-value \
		-MMD -MP -MT $@ -MF $(B)/fanalyzer/$*.d -c -o /dev/null $<
	@touch $@
check-clang-tidy: $(patsubst %.c,$(B)/clang-tidy/%.ok,$(ANALYZED))
$(B)/clang-tidy/%.ok: %.c $(HEADERS) .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(COMMON) >$@.log 2>&1 || { grep -E '(error|warning):' $@.log; exit 1; }
	@touch $@
-include $(shell find $(B)/fanalyzer -name '*.d' 2>/dev/null)

# --- Fuzzing and coverage (always clang) ------------------------------------------------------------

fuzz:
	@$(MAKE) CC=clang SAN=fuzz fuzz-targets
	@tools/fuzz.sh build/clang-fuzz $(FUZZ_SECONDS)
coverage:
	@$(MAKE) CC=clang SAN=cov fuzz-targets
	@tools/coverage.sh build/clang-cov
.PHONY: fuzz-targets
fuzz-targets: $(FUZZERS)

# --- Installing ------------------------------------------------------------------------------------

MAN_PAGES := $(sort $(wildcard doc/man/*.1 doc/*.1))
install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 weir $(DESTDIR)$(PREFIX)/bin/weir
ifneq ($(MAN_PAGES),)
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(MAN_PAGES) $(DESTDIR)$(PREFIX)/share/man/man1
endif

clean:
	rm -rf build weir
