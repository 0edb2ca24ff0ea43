/** What this decoder throws on purpose. */

/** Base class of what this module throws on purpose. */
export class RnnicError extends Error {
  get name() { return "RnnicError"; }
}
/** Not a valid file, or one that needs what this decoder lacks. */
export class FormatError extends RnnicError {
  get name() { return "FormatError"; }
}
/** The data ends before the file does. */
export class TruncatedError extends FormatError {
  get name() { return "TruncatedError"; }
}
/** A checksum differs: the file is damaged. */
export class ChecksumError extends FormatError {
  get name() { return "ChecksumError"; }
}
/** The model that the file was made with is not at hand. */
export class ModelMissingError extends RnnicError {
  get name() { return "ModelMissingError"; }
}
/** The data asks for more than a limit allows. */
export class LimitError extends RnnicError {
  get name() { return "LimitError"; }
}
/** An option without meaning or out of its range. */
export class OptionError extends RnnicError {
  get name() { return "OptionError"; }
}

/** Throw an error unless a rule of the format holds. */
export const need = (holds, message, Kind = FormatError) => {
  if (!holds) throw new Kind(message);
};
