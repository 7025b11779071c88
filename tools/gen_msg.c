// SPDX-License-Identifier: Apache-2.0
//
// Turns schema/kafka/*.msg into C: plain structs and constant rows for the interpreter in src/wire.
// It writes data and no code, so what it writes needs no review: a wrong row is a wrong line in the
// schema. C rather than a scripting language, because the build needs a C compiler anyway.
//
//   gen_msg OUTDIR FILE.msg...
//
// writes OUTDIR/kafka_<file>.h and .c for each file, and OUTDIR/kafka_apis.h and .c, the table of
// all messages. schema/kafka/README.md tells the grammar.
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE    96
#define FIELDS_MAX   64 // in a struct
#define STRUCTS_MAX  32 // in a file
#define MESSAGES_MAX 512
#define DEPTH_MAX    8  // as WIRE_DEPTH_MAX
#define VERSIONS_MAX 64 // a version is below this
#define TAGS_MAX     64 // as the interpreter's encoder expects
#define NEVER        255

struct range {
    int since, until;
};

enum type { BOOL, I8, I16, I32, I64, UUID, STR, BYTES, RECORDS, STRUCT, ARRAY, TYPES };

static const struct {
    const char *schema, *row, *member;
    int bytes, compact_bytes; // the least an encoded one takes
} types[TYPES] = {
    {"bool", "WIRE_BOOL", "bool", 1, 1},
    {"i8", "WIRE_I8", "int8_t", 1, 1},
    {"i16", "WIRE_I16", "int16_t", 2, 2},
    {"i32", "WIRE_I32", "int32_t", 4, 4},
    {"i64", "WIRE_I64", "int64_t", 8, 8},
    {"uuid", "WIRE_UUID", "struct uuid", 16, 16},
    {"str", "WIRE_STR", "struct slice", 2, 1},
    {"bytes", "WIRE_BYTES", "struct slice", 4, 1},
    {"records", "WIRE_RECORDS", "struct wire_records", 4, 1},
    {"{}", "WIRE_STRUCT", NULL, 0, 0},
    {"[]", "WIRE_ARRAY", NULL, 4, 1},
};

struct field {
    char name[NAME_SIZE];
    enum type type, elem;
    int of; // index into structs, or -1
    struct range versions, nulls;
    bool nullable, plain, null_default;
    int tag; // -1: not tagged
    long long dflt;
};

struct type_struct {
    char name[NAME_SIZE]; // fetch_request_topic
    struct range versions;
    int message;
    int fields_count;
    struct field fields[FIELDS_MAX];
};

struct message {
    char kind[16];        // request, response, header, data
    char name[NAME_SIZE]; // FetchRequest
    char snake[NAME_SIZE];
    char file[NAME_SIZE];
    int key;
    struct range versions;
    int flexible;
    int root;
};

static struct type_struct structs[STRUCTS_MAX];
static int structs_count;
static struct message messages[MESSAGES_MAX];
static int messages_count;
static const char *at_path = "gen_msg";
static int at_line;

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", at_path, at_line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _Exit(1); // what was being written stays half written, on purpose
}

static _Noreturn void die_of_errno(void)
{
    perror(at_path);
    _Exit(1);
}

__attribute__((format(printf, 2, 3))) static void name_set(char *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, NAME_SIZE, format, args);
    va_end(args);
    if (len < 0 || len >= NAME_SIZE)
        die("name too long");
}

static void snake_case(const char *camel, char *out)
{
    size_t len = 0;
    for (size_t i = 0; camel[i] != '\0'; i++) {
        if (len + 3 > NAME_SIZE)
            die("name too long");
        if (isupper((unsigned char)camel[i]) && i > 0)
            out[len++] = '_';
        out[len++] = (char)tolower((unsigned char)camel[i]);
    }
    out[len] = '\0';
}

static void upper_case(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)toupper((unsigned char)*text);
}

// ---- reading -------------------------------------------------------------------------------

static long long number(const char *text, const char **end)
{
    char *stop;
    errno = 0;
    long long value = strtoll(text, &stop, 10);
    if (stop == text || errno != 0)
        die("not a number: %s", text);
    *end = stop;
    return value;
}

static int whole_number(const char *text)
{
    const char *end;
    long long value = number(text, &end);
    if (*end != '\0' || value < 0 || value > INT16_MAX)
        die("not a small number: %s", text);
    return (int)value;
}

static struct range range_parse(const char *text, struct range outer)
{
    const char *end;
    struct range r = {(int)number(text, &end), 0};
    if (strcmp(end, "+") == 0)
        r.until = outer.until;
    else if (*end == '-')
        r.until = whole_number(end + 1);
    else if (*end == '\0')
        r.until = r.since;
    else
        die("not versions: %s", text);
    if (r.since < outer.since || r.until > outer.until || r.since > r.until)
        die("versions %s are not within %d-%d", text, outer.since, outer.until);
    return r;
}

static int struct_add(int message, const char *name, struct range versions)
{
    if (structs_count == STRUCTS_MAX)
        die("too many structs");
    struct type_struct *s = &structs[structs_count];
    memset(s, 0, sizeof *s);
    name_set(s->name, "%s", name);
    s->versions = versions;
    s->message = message;
    for (int i = 0; i < structs_count; i++)
        if (strcmp(structs[i].name, name) == 0)
            die("struct %s is there twice", name);
    return structs_count++;
}

static int message_parse(char **save)
{
    struct message *m = &messages[messages_count];
    const char *key = "-1";
    if (strcmp(m->kind, "request") == 0 || strcmp(m->kind, "response") == 0)
        key = strtok_r(NULL, " ", save);
    const char *name = strtok_r(NULL, " ", save);
    const char *versions = strtok_r(NULL, " ", save);
    if (key == NULL || name == NULL || versions == NULL)
        die("KIND [KEY] NAME VERSIONS expected");
    m->key = key[0] == '-' ? -1 : whole_number(key);
    const char *suffix = strcmp(m->kind, "request") == 0 ? "Request" : "Response";
    name_set(m->name, "%s%s", name, m->key < 0 ? "" : suffix);
    snake_case(m->name, m->snake);
    m->versions = range_parse(versions, (struct range){0, VERSIONS_MAX - 1});
    m->flexible = NEVER;
    const char *flex = strtok_r(NULL, " ", save);
    const char *since = strtok_r(NULL, " ", save);
    if (flex != NULL && (strcmp(flex, "flex") != 0 || since == NULL))
        die("flex VERSION+ expected");
    if (flex != NULL)
        m->flexible = range_parse(since, m->versions).since;
    m->root = struct_add(messages_count, m->snake, m->versions);
    return messages_count++;
}

// Sets type, elem and of; returns the struct that the lines below fill, or -1.
static int type_parse(struct field *f, int message, const char *text)
{
    bool array = strncmp(text, "[]", 2) == 0;
    bool single = strncmp(text, "{}", 2) == 0;
    enum type base = BOOL;
    while (base < STRUCT && strcmp(array || single ? text + 2 : text, types[base].schema) != 0)
        base++;
    f->of = -1;
    if (base == STRUCT && !array && !single)
        die("unknown type %s", text);
    if (array && (base == BYTES || base == RECORDS || base == BOOL))
        die("no arrays of %s", text + 2);
    f->type = array ? ARRAY : single ? STRUCT : base;
    f->elem = base;
    if (base == STRUCT) {
        char name[NAME_SIZE];
        name_set(name, "%s_%s", messages[message].snake, text + 2);
        f->of = struct_add(message, name, f->versions);
    }
    return f->of;
}

static void default_parse(struct field *f, const char *text)
{
    if (text == NULL)
        die("a value expected after =");
    if (strcmp(text, "null") == 0) {
        if (!f->nullable)
            die("the default is null, but %s may not be", f->name);
        f->null_default = true;
    } else if (strcmp(text, "true") == 0 && f->type == BOOL) {
        f->dflt = 1;
    } else if (f->type <= I64 && f->type != BOOL) {
        const char *end;
        f->dflt = number(text, &end);
        if (*end != '\0')
            die("not a number: %s", text);
    } else {
        die("default %s does not fit %s", text, types[f->type].schema);
    }
}

static void attributes_parse(struct field *f, char **save)
{
    const char *word = strtok_r(NULL, " ", save);
    while (word != NULL) {
        const char *next = strtok_r(NULL, " ", save);
        if (strcmp(word, "null") == 0) {
            f->nullable = true;
            f->nulls = f->versions;
            if (next != NULL && isdigit((unsigned char)next[0])) {
                f->nulls = range_parse(next, f->versions);
                next = strtok_r(NULL, " ", save);
            }
        } else if (strcmp(word, "tag") == 0 && next != NULL) {
            f->tag = whole_number(next);
            next = strtok_r(NULL, " ", save);
        } else if (strcmp(word, "plain") == 0) {
            f->plain = true;
        } else if (strcmp(word, "=") == 0) {
            default_parse(f, next);
            next = strtok_r(NULL, " ", save);
        } else {
            die("unexpected word %s", word);
        }
        word = next;
    }
}

static void field_check(const struct type_struct *s, const struct field *f)
{
    const struct message *m = &messages[s->message];
    if (f->nullable && f->type < STR)
        die("%s cannot be null", f->name);
    if (f->tag >= 0 && (m->flexible == NEVER || f->versions.since < m->flexible))
        die("%s is tagged in a version that is not flexible", f->name);
    if (f->tag >= TAGS_MAX || (f->tag >= 0 && f->type == RECORDS))
        die("%s: its tag is too large, or that of records", f->name);
    for (int i = 0; i < s->fields_count; i++)
        if (strcmp(s->fields[i].name, f->name) == 0 || (f->tag >= 0 && s->fields[i].tag == f->tag))
            die("%s: its name or tag is there already", f->name);
}

// Returns the struct that deeper lines belong to, or -1.
static int field_parse(int owner, char *line)
{
    struct type_struct *s = &structs[owner];
    struct field f = {.versions = s->versions, .tag = -1};
    char *save;
    char *name = strtok_r(line, " ", &save);
    char *type = strtok_r(NULL, " ", &save);
    if (name == NULL || type == NULL)
        die("NAME TYPE expected");
    name_set(f.name, "%s", name);
    while (*save == ' ')
        save++;
    if (isdigit((unsigned char)*save))
        f.versions = range_parse(strtok_r(NULL, " ", &save), s->versions);
    int inner = type_parse(&f, s->message, type);
    attributes_parse(&f, &save);
    field_check(s, &f);
    if (s->fields_count == FIELDS_MAX)
        die("too many fields");
    s->fields[s->fields_count++] = f;
    return inner;
}

static void line_parse(char *line, int stack[DEPTH_MAX + 1], const char *file)
{
    line[strcspn(line, "#\r\n")] = '\0';
    size_t indent = strspn(line, " ");
    if (line[indent] == '\0')
        return;
    if (indent == 0) {
        char *save;
        struct message *m = &messages[messages_count];
        if (messages_count == MESSAGES_MAX)
            die("too many messages");
        name_set(m->file, "%s", file);
        snprintf(m->kind, sizeof m->kind, "%s", strtok_r(line, " ", &save));
        stack[1] = messages[message_parse(&save)].root;
        memset(stack + 2, -1, sizeof(int) * (DEPTH_MAX - 1));
        return;
    }
    size_t depth = indent / 2;
    if (indent % 2 != 0 || depth > DEPTH_MAX || stack[depth] < 0)
        die("wrong indentation");
    int inner = field_parse(stack[depth], line + indent);
    for (size_t d = depth + 1; d <= DEPTH_MAX; d++)
        stack[d] = d == depth + 1 ? inner : -1;
    if (inner >= 0 && depth == DEPTH_MAX)
        die("too deep");
}

static void file_read(const char *path, const char *file)
{
    char line[256];
    int stack[DEPTH_MAX + 1];
    FILE *in = fopen(path, "r");
    at_path = path;
    at_line = 0;
    structs_count = 0;
    if (in == NULL)
        die_of_errno();
    memset(stack, -1, sizeof stack);
    for (; fgets(line, sizeof line, in) != NULL; line_parse(line, stack, file)) {
        at_line++;
        if (strchr(line, '\n') == NULL)
            die("line too long");
    }
    if (ferror(in) != 0 || fclose(in) != 0)
        die_of_errno();
}

// ---- writing -------------------------------------------------------------------------------

static FILE *file_open(const char *dir, const char *file, const char *suffix, const char *from)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/kafka_%s.%s", dir, file, suffix);
    at_path = dir;
    FILE *out = len > 0 && (size_t)len < sizeof path ? fopen(path, "w") : NULL;
    if (out == NULL)
        die_of_errno();
    fprintf(out, "// generated by tools/gen_msg from schema/kafka/%s.msg; do not edit\n", from);
    fputs("// SPDX-License-Identifier: Apache-2.0\n// clang-format off\n", out);
    return out;
}

static void file_close(FILE *out)
{
    if (ferror(out) != 0 || fclose(out) != 0)
        die_of_errno();
}

static void member_write(FILE *out, const struct field *f)
{
    const char *type = types[f->type == ARRAY ? f->elem : f->type].member;
    const char *star = f->type == ARRAY ? "*" : "";
    if (type != NULL)
        fprintf(out, "    %s %s%s;", type, star, f->name);
    else
        fprintf(out, "    struct kafka_%s %s%s;", structs[f->of].name, star, f->name);
    fprintf(out, " // versions %d-%d", f->versions.since, f->versions.until);
    if (f->nullable)
        fprintf(out, ", null %d-%d", f->nulls.since, f->nulls.until);
    if (f->tag >= 0)
        fprintf(out, ", tag %d", f->tag);
    fputc('\n', out);
    if (f->type == ARRAY)
        fprintf(out, "    uint32_t %s_count;\n", f->name);
    if (f->nullable && (f->type == ARRAY || f->type == STRUCT))
        fprintf(out, "    bool %s_null;\n", f->name);
}

static void header_write(const char *dir, const char *file, int first)
{
    FILE *out = file_open(dir, file, "h", file);
    char guard[NAME_SIZE];
    name_set(guard, "WEIR_WIRE_GEN_KAFKA_%s_H", file);
    upper_case(guard);
    fprintf(out, "#ifndef %s\n#define %s\n\n#include \"wire/wire.h\"\n", guard, guard);
    for (int i = structs_count - 1; i >= 0; i--) { // inner structs before those that hold them
        fprintf(out, "\nstruct kafka_%s {\n", structs[i].name);
        for (int j = 0; j < structs[i].fields_count; j++)
            member_write(out, &structs[i].fields[j]);
        fputs("};\n", out);
    }
    fputc('\n', out);
    for (int i = structs_count - 1; i >= 0; i--)
        fprintf(out, "extern const struct wire_struct kafka_%s_type;\n", structs[i].name);
    for (int i = first; i < messages_count; i++)
        fprintf(out, "extern const struct wire_msg kafka_%s_msg;\n", messages[i].snake);
    fputs("\n#endif\n", out);
    file_close(out);
}

static void row_write(FILE *out, const struct type_struct *s, const struct field *f)
{
    fprintf(out, "    {.name = \"%s\", .type = %s", f->name, types[f->type].row);
    if (f->type == ARRAY)
        fprintf(out, ", .elem = %s", types[f->elem].row);
    if (f->of >= 0)
        fprintf(out, ", .of = &kafka_%s_type", structs[f->of].name);
    fprintf(out, ",\n     .since = %d, .until = %d", f->versions.since, f->versions.until);
    fputs(f->plain ? ", .plain = true" : "", out);
    if (f->tag >= 0)
        fprintf(out, ", .tagged = true, .tag = %d", f->tag);
    if (f->nullable)
        fprintf(out, ",\n     .nullable = true, .null_since = %d, .null_until = %d%s",
                f->nulls.since, f->nulls.until, f->null_default ? ", .default_null = true" : "");
    if (f->dflt != 0)
        fprintf(out, ", .dflt = INT64_C(%lld)", f->dflt);
    fprintf(out, ",\n     .offset = offsetof(struct kafka_%s, %s)", s->name, f->name);
    if (f->type == ARRAY)
        fprintf(out, ",\n     .count_offset = offsetof(struct kafka_%s, %s_count)", s->name,
                f->name);
    if (f->nullable && (f->type == ARRAY || f->type == STRUCT))
        fprintf(out, ",\n     .null_offset = offsetof(struct kafka_%s, %s_null)", s->name, f->name);
    fputs("},\n", out);
}

static int min_bytes(const struct type_struct *s, int version)
{
    bool flexible = version >= messages[s->message].flexible;
    int sum = flexible ? 1 : 0; // the count of tagged fields
    for (int i = 0; i < s->fields_count; i++) {
        const struct field *f = &s->fields[i];
        if (version < f->versions.since || version > f->versions.until || f->tag >= 0)
            continue;
        if (f->type == STRUCT)
            sum += f->nullable ? 1 : min_bytes(&structs[f->of], version);
        else
            sum += flexible && !f->plain ? types[f->type].compact_bytes : types[f->type].bytes;
    }
    return sum;
}

static int rows_write(FILE *out, const struct type_struct *s)
{
    int tagged = 0;
    fprintf(out, "\nstatic const struct wire_field %s_fields[] = {\n", s->name);
    for (int tag = -1; tag < TAGS_MAX; tag++) // those without come first
        for (int i = 0; i < s->fields_count; i++)
            if (s->fields[i].tag == tag) {
                row_write(out, s, &s->fields[i]);
                tagged += tag >= 0 ? 1 : 0;
            }
    fputs("};\n", out);
    return tagged;
}

static void struct_write(FILE *out, const struct type_struct *s)
{
    if (s->fields_count == 0)
        die("struct %s has no fields", s->name);
    int tagged = rows_write(out, s);
    fprintf(out, "\nstatic const uint16_t %s_min_bytes[] = {", s->name);
    for (int v = 0; v <= s->versions.until; v++) {
        int least = v < s->versions.since ? 0 : min_bytes(s, v);
        if (v >= s->versions.since && least == 0 && s != &structs[messages[s->message].root])
            die("struct %s may take no bytes in version %d", s->name, v);
        fprintf(out, "%s%d", v == 0 ? "" : ", ", least);
    }
    fprintf(out,
            "};\n\nconst struct wire_struct kafka_%s_type = {\n    .name = \"%s\",\n"
            "    .fields = %s_fields,\n    .min_bytes = %s_min_bytes,\n    .fields_count = %d,\n"
            "    .untagged_count = %d,\n    .size = sizeof(struct kafka_%s),\n};\n",
            s->name, s->name, s->name, s->name, s->fields_count, s->fields_count - tagged, s->name);
}

static void source_write(const char *dir, const char *file, int first)
{
    FILE *out = file_open(dir, file, "c", file);
    fprintf(out, "#include \"wire/gen/kafka_%s.h\"\n", file);
    for (int i = structs_count - 1; i >= 0; i--)
        struct_write(out, &structs[i]);
    for (int i = first; i < messages_count; i++) {
        const struct message *m = &messages[i];
        fprintf(out,
                "\nconst struct wire_msg kafka_%s_msg = {\n    .name = \"%s\",\n"
                "    .root = &kafka_%s_type,\n    .api_key = %d,\n    .min_version = %d,\n"
                "    .max_version = %d,\n    .flexible_since = %d,\n};\n",
                m->snake, m->name, m->snake, m->key, m->versions.since, m->versions.until,
                m->flexible);
    }
    file_close(out);
}

static const struct message *message_by_key(int key, const char *kind)
{
    for (int i = 0; i < messages_count; i++)
        if (messages[i].key == key && strcmp(messages[i].kind, kind) == 0)
            return &messages[i];
    return NULL;
}

static void apis_rows_write(FILE *out, FILE *enums)
{
    for (int key = 0; key < INT16_MAX; key++) {
        const struct message *q = message_by_key(key, "request");
        const struct message *a = message_by_key(key, "response");
        if (q == NULL && a == NULL)
            continue;
        if (q == NULL || a == NULL || q->versions.since != a->versions.since ||
            q->versions.until != a->versions.until || q->flexible != a->flexible)
            die("API %d: request and response must both be there, in the same versions", key);
        char upper[NAME_SIZE];
        name_set(upper, "%s", q->file);
        upper_case(upper);
        fprintf(enums, "    KAFKA_API_%s = %d,\n", upper, key);
        fprintf(out,
                "    {.name = \"%.*s\", .request = &kafka_%s_msg,\n" // without "Request"
                "     .response = &kafka_%s_msg, .key = %d,\n",
                (int)strlen(q->name) - 7, q->name, q->snake, a->snake, key);
        fprintf(out, "     .min_version = %d, .max_version = %d, .flexible_since = %d},\n",
                q->versions.since, q->versions.until, q->flexible);
    }
}

static void apis_write(const char *dir)
{
    FILE *out = file_open(dir, "apis", "c", "*");
    FILE *enums = file_open(dir, "apis", "h", "*");
    fputs("#ifndef WEIR_WIRE_GEN_KAFKA_APIS_H\n#define WEIR_WIRE_GEN_KAFKA_APIS_H\n\n"
          "enum kafka_api {\n",
          enums);
    fputs("#include \"wire/wire_kafka.h\"\n", out);
    for (int i = 0; i < messages_count; i++)
        if (i == 0 || strcmp(messages[i].file, messages[i - 1].file) != 0)
            fprintf(out, "#include \"wire/gen/kafka_%s.h\"\n", messages[i].file);
    fputs("\nconst struct wire_api wire_kafka_apis[] = {\n", out);
    apis_rows_write(out, enums);
    fputs("};\n\nconst uint32_t wire_kafka_apis_count =\n"
          "    sizeof wire_kafka_apis / sizeof wire_kafka_apis[0];\n\n"
          "const struct wire_msg *const wire_kafka_messages[] = {\n",
          out);
    for (int i = 0; i < messages_count; i++)
        fprintf(out, "    &kafka_%s_msg,\n", messages[i].snake);
    fputs("};\n\nconst uint32_t wire_kafka_messages_count =\n"
          "    sizeof wire_kafka_messages / sizeof wire_kafka_messages[0];\n",
          out);
    fputs("};\n\n#endif\n", enums);
    file_close(out);
    file_close(enums);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: gen_msg OUTDIR FILE.msg...\n", stderr);
        return 64;
    }
    for (int i = 2; i < argc; i++) {
        const char *base = strrchr(argv[i], '/');
        char file[NAME_SIZE];
        base = base == NULL ? argv[i] : base + 1;
        name_set(file, "%.*s", (int)strcspn(base, "."), base);
        int first = messages_count;
        file_read(argv[i], file);
        header_write(argv[1], file, first);
        source_write(argv[1], file, first);
    }
    apis_write(argv[1]);
    return 0;
}
