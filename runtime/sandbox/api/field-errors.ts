/** Builds the errors of validation in the API server's words (apimachinery's field package). */
import { same } from "./object.ts";
import type { FieldError } from "./status.ts";

export function required(field: string, detail = ""): FieldError {
  return { reason: "FieldValueRequired", field, message: `Required value${detail === "" ? "" : `: ${detail}`}` };
}

export function invalidValue(field: string, value: unknown, detail: string): FieldError {
  return { reason: "FieldValueInvalid", field, message: `Invalid value: ${JSON.stringify(value)}: ${detail}` };
}

export function forbiddenField(field: string, detail: string): FieldError {
  return { reason: "FieldValueForbidden", field, message: `Forbidden: ${detail}` };
}

export function duplicate(field: string, value: unknown): FieldError {
  return { reason: "FieldValueDuplicate", field, message: `Duplicate value: ${JSON.stringify(value)}` };
}

export function unsupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.map((entry) => JSON.stringify(entry)).join(", ");
  return {
    reason: "FieldValueNotSupported",
    field,
    message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`,
  };
}

export function fieldNotFound(field: string, value: unknown): FieldError {
  return { reason: "FieldValueNotFound", field, message: `Not found: ${JSON.stringify(value)}` };
}

/** Error where a field that may never change did. */
export function immutable(field: string, value: unknown, old: unknown): FieldError[] {
  return same(value, old) ? [] : [invalidValue(field, value, "field is immutable")];
}

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

export function isLabel(text: string): boolean {
  return text.length <= 63 && LABEL.test(text);
}

const RULES = {
  label: {
    pattern: LABEL,
    most: 63,
    text: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  },
  label1035: {
    pattern: LABEL_1035,
    most: 63,
    text: "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
  },
  subdomain: {
    pattern: SUBDOMAIN,
    most: 253,
    text: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  },
} as const;

export function checkName(
  field: string,
  name: string,
  rule: "label" | "label1035" | "subdomain" | "path",
): FieldError[] {
  if (rule === "path") {
    return name === "." || name === ".." || /[/%]/.test(name)
      ? [invalidValue(field, name, "may not be '.' or '..', or contain '/' or '%'")]
      : [];
  }
  const { pattern, most, text } = RULES[rule];
  if (name.length > most) return [invalidValue(field, name, `must be no more than ${most} characters`)];
  return pattern.test(name) ? [] : [invalidValue(field, name, text)];
}

/** Keys of labels and annotations: `[prefix/]name`. */
export function isQualifiedName(key: string): boolean {
  const slash = key.indexOf("/");
  const prefix = slash === -1 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  return (
    name.length > 0 &&
    name.length <= 63 &&
    QUALIFIED.test(name) &&
    (prefix === undefined || (prefix.length <= 253 && SUBDOMAIN.test(prefix)))
  );
}

const QUALIFIED_TEXT =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

export function checkLabels(field: string, labels: unknown): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries((labels ?? {}) as Record<string, string>)) {
    if (!isQualifiedName(key)) errors.push(invalidValue(field, key, QUALIFIED_TEXT));
    if (value !== "" && (value.length > 63 || !QUALIFIED.test(value))) {
      errors.push(
        invalidValue(
          field,
          value,
          value.length > 63
            ? "must be no more than 63 characters"
            : "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
      );
    }
  }
  return errors;
}

const ANNOTATION_BYTES = 256 * 1024;

export function checkAnnotations(field: string, annotations: unknown): FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries((annotations ?? {}) as Record<string, string>)) {
    bytes += key.length + Buffer.byteLength(value);
    if (!isQualifiedName(key.toLowerCase())) errors.push(invalidValue(field, key, QUALIFIED_TEXT));
  }
  if (bytes > ANNOTATION_BYTES) {
    errors.push({
      reason: "FieldValueInvalid",
      field,
      message: `Too long: may not be more than ${ANNOTATION_BYTES} bytes`,
    });
  }
  return errors;
}
