// SPDX-License-Identifier: Apache-2.0
//
// Turns schema/amqp.msg into C: a plain struct and constant rows per method for the interpreter in
// src/wire, and the table of all methods. gen_msg's smaller brother: AMQP's methods have no
// versions, no arrays and no structs within, but bits that share an octet. It writes data and no
// code.
//
//   gen_amqp header|source FILE    on standard output
//
// The schema's first lines tell the grammar.
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE   48
#define FIELDS_MAX  16
#define METHODS_MAX 128

static const struct {
    const char *schema, *row, *member;
    int bytes; // the least an encoded one takes
} types[] = {
    {"bit", "WIRE_BIT", "bool", 0},
    {"u8", "WIRE_I8", "uint8_t", 1},
    {"u16", "WIRE_I16", "uint16_t", 2},
    {"u32", "WIRE_I32", "uint32_t", 4},
    {"u64", "WIRE_I64", "uint64_t", 8},
    {"short", "WIRE_SHORT_STR", "struct slice", 1},
    {"long", "WIRE_BYTES", "struct slice", 4},
    {"table", "WIRE_BYTES", "struct slice", 4},
};
#define BIT         0
#define TABLE       7
#define TYPES_COUNT (sizeof types / sizeof types[0])

struct field {
    char name[NAME_SIZE];
    size_t type; // index into types
    int bit;     // of a bit: its place in the octet
};

struct method {
    int class_id, method_id;
    char name[NAME_SIZE]; // basic.deliver
    char c_name[NAME_SIZE];
    const char *sender;
    bool content;
    int fields_count;
    struct field fields[FIELDS_MAX];
};

static struct method methods[METHODS_MAX];
static int methods_count;
static int at_line;

static _Noreturn void die(const char *what, const char *word)
{
    fprintf(stderr, "gen_amqp: line %d: %s: %s\n", at_line, what, word == NULL ? "nothing" : word);
    exit(1);
}

static void name_set(char *out, const char *name)
{
    if (name == NULL || strlen(name) >= NAME_SIZE)
        die("a short name was expected", name);
    memcpy(out, name, strlen(name) + 1);
}

static int number(const char *text)
{
    char *end = NULL;
    long v = text == NULL ? -1 : strtol(text, &end, 10);
    if (v < 1 || v > 999 || *end != '\0')
        die("a number was expected", text);
    return (int)v;
}

static const char *sender(const char *word)
{
    static const char *const words[] = {"client", "server", "both"};
    static const char *const rows[] = {"WIRE_BY_CLIENT", "WIRE_BY_SERVER",
                                       "WIRE_BY_CLIENT | WIRE_BY_SERVER"};
    for (int i = 0; i < 3; i++)
        if (word != NULL && strcmp(word, words[i]) == 0)
            return rows[i];
    die("client, server or both was expected", word);
}

static void method_parse(char **save)
{
    if (methods_count == METHODS_MAX)
        die("too many methods", NULL);
    struct method *m = &methods[methods_count];
    m->class_id = number(strtok_r(NULL, " \n", save));
    m->method_id = number(strtok_r(NULL, " \n", save));
    name_set(m->name, strtok_r(NULL, " \n", save));
    name_set(m->c_name, m->name);
    char *dot = strchr(m->c_name, '.');
    if (dot == NULL)
        die("class.method was expected", m->name);
    *dot = '_';
    m->sender = sender(strtok_r(NULL, " \n", save));
    const char *word = strtok_r(NULL, " \n", save);
    m->content = word != NULL && strcmp(word, "content") == 0;
    if (word != NULL && !m->content)
        die("content or nothing was expected", word);
    const struct method *last = methods_count > 0 ? m - 1 : NULL;
    if (last != NULL && (last->class_id > m->class_id ||
                         (last->class_id == m->class_id && last->method_id >= m->method_id)))
        die("methods must rise", m->name);
    methods_count++;
}

static void field_parse(const char *name, const char *type)
{
    struct method *m = &methods[methods_count - 1];
    if (methods_count == 0 || m->fields_count == FIELDS_MAX)
        die("a field without method, or one too many", name);
    struct field *f = &m->fields[m->fields_count++];
    name_set(f->name, name);
    while (f->type < TYPES_COUNT && (type == NULL || strcmp(type, types[f->type].schema) != 0))
        f->type++;
    if (f->type == TYPES_COUNT)
        die("unknown type", type);
    if (f->type == BIT && m->fields_count > 1 && f[-1].type == BIT)
        f->bit = f[-1].bit + 1;
    if (f->bit > 7)
        die("more than eight bits in a row", name);
}

static void file_read(const char *path)
{
    char line[256];
    FILE *in = fopen(path, "r");
    if (in == NULL)
        die("cannot be read", path);
    while (fgets(line, sizeof line, in) != NULL) {
        char *save;
        at_line++;
        line[strcspn(line, "#")] = '\0';
        bool field = line[0] == ' ';
        char *word = strtok_r(line, " \n", &save);
        if (word == NULL)
            continue;
        if (field)
            field_parse(word, strtok_r(NULL, " \n", &save));
        else if (strcmp(word, "method") == 0)
            method_parse(&save);
        else
            die("method was expected", word);
    }
    if (ferror(in) != 0 || fclose(in) != 0)
        die("cannot be read", path);
}

static void top_write(void)
{
    puts("// generated by tools/gen_amqp from schema/amqp.msg; do not edit\n"
         "// SPDX-License-Identifier: Apache-2.0\n// clang-format off");
}

static void enum_write(const struct method *m)
{
    char upper[NAME_SIZE];
    name_set(upper, m->c_name);
    for (char *c = upper; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
    printf("    AMQP_%s = %d << 16 | %d,\n", upper, m->class_id, m->method_id);
}

static void header_write(void)
{
    top_write();
    puts("#ifndef WEIR_WIRE_GEN_AMQP_METHODS_H\n#define WEIR_WIRE_GEN_AMQP_METHODS_H\n\n"
         "#include \"wire/wire.h\"\n\nenum amqp_method { // class << 16 | method");
    for (int i = 0; i < methods_count; i++)
        enum_write(&methods[i]);
    puts("};");
    for (int i = 0; i < methods_count; i++) {
        const struct method *m = &methods[i];
        printf("\nstruct amqp_%s { // %s, %d.%d\n", m->c_name, m->name, m->class_id, m->method_id);
        for (int j = 0; j < m->fields_count; j++)
            printf("    %s %s;\n", types[m->fields[j].type].member, m->fields[j].name);
        if (m->fields_count == 0)
            puts("    bool no_fields;");
        puts("};");
    }
    puts("");
    for (int i = 0; i < methods_count; i++)
        printf("extern const struct wire_msg amqp_%s_msg;\n", methods[i].c_name);
    puts("\n#endif");
}

static void row_write(const struct method *m, const struct field *f)
{
    printf("    {.name = \"%s\", .type = %s", f->name, types[f->type].row);
    if (f->type == BIT)
        printf(", .bit = %d", f->bit);
    else if (types[f->type].member[0] == 'u')
        fputs(", .natural = true", stdout);
    else if (f->type == TABLE)
        fputs(", .table = true", stdout);
    printf(", .offset = offsetof(struct amqp_%s, %s)},\n", m->c_name, f->name);
}

static void method_write(const struct method *m)
{
    int least = 0;
    if (m->fields_count > 0)
        printf("\nstatic const struct wire_field %s_fields[] = {\n", m->c_name);
    for (int i = 0; i < m->fields_count; i++) {
        const struct field *f = &m->fields[i];
        row_write(m, f);
        least += f->type == BIT && f->bit == 0 ? 1 : types[f->type].bytes;
    }
    if (m->fields_count > 0)
        puts("};");
    printf("static const uint16_t %s_min_bytes[] = {%d};\n", m->c_name, least);
    printf("static const struct wire_struct %s_type = {\n    .name = \"%s\",\n", m->c_name,
           m->c_name);
    if (m->fields_count > 0)
        printf("    .fields = %s_fields,\n", m->c_name);
    printf("    .min_bytes = %s_min_bytes,\n    .fields_count = %d,\n    .untagged_count = %d,\n"
           "    .size = sizeof(struct amqp_%s),\n};\n",
           m->c_name, m->fields_count, m->fields_count, m->c_name);
    printf("const struct wire_msg amqp_%s_msg = {\n    .name = \"%s\",\n    .root = &%s_type,\n"
           "    .api_key = -1,\n    .flexible_since = WIRE_NEVER_FLEXIBLE,\n};\n",
           m->c_name, m->name, m->c_name);
}

static void source_write(void)
{
    top_write();
    puts("#include \"wire/wire_amqp.h\"");
    for (int i = 0; i < methods_count; i++)
        method_write(&methods[i]);
    puts("\nconst struct wire_method wire_amqp_methods[] = {");
    for (int i = 0; i < methods_count; i++) {
        const struct method *m = &methods[i];
        printf("    {&amqp_%s_msg, %d << 16 | %d, %s, %s},\n", m->c_name, m->class_id, m->method_id,
               m->sender, m->content ? "true" : "false");
    }
    puts("};\n\nconst uint32_t wire_amqp_methods_count =\n"
         "    sizeof wire_amqp_methods / sizeof wire_amqp_methods[0];");
}

int main(int argc, char **argv)
{
    bool header = argc == 3 && strcmp(argv[1], "header") == 0;
    if (!header && !(argc == 3 && strcmp(argv[1], "source") == 0)) {
        fputs("usage: gen_amqp header|source FILE\n", stderr);
        return 64;
    }
    file_read(argv[2]);
    if (header)
        header_write();
    else
        source_write();
    return ferror(stdout) != 0 || fflush(stdout) != 0 ? 1 : 0;
}
