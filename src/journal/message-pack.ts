// Writes MessagePack as msgpackr reads it with numbered shapes, for the few kinds of value that the journal is full of.
// Called by the record writer, which knows the shapes. Reading, and every value without a writer of its own, is msgpackr's.
import { crc32 } from "node:zlib";

/** Values are written behind each other into one piece of memory; whoever keeps the bytes of a value keeps the whole of it. */
const SLAB_BYTES = 256 * 1024;
const CHECKSUM_BYTES = 4;
/** Up to here a loop over the characters beats a call out of JavaScript. */
const SHORT_TEXT = 64;
/** The largest header: a type byte and a length of 32 bits. */
const HEADER_BYTES = 5;
const NUMBER_BYTES = 9;

/** One value at a time: `begin`, its parts in order, `seal`. Nothing is checked: the caller writes as many parts as it announced. */
export class MessagePackWriter {
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #view = new DataView(this.#slab.buffer);
  #start = 0;
  #position = 0;

  begin(): void {
    this.#start = this.#position;
  }

  /** The bytes since `begin` and their checksum. Valid for as long as somebody holds them. */
  seal(): Buffer {
    this.#reserve(CHECKSUM_BYTES);
    const end = this.#position;
    this.#view.setUint32(end, crc32(this.#slab.subarray(this.#start, end)), true);
    this.#position = end + CHECKSUM_BYTES;
    return this.#slab.subarray(this.#start, this.#position);
  }

  /** An object of a numbered shape, 0..31; its values follow. */
  shape(index: number): void {
    this.#reserve(1);
    this.#slab[this.#position++] = 0x40 | index;
  }

  array(length: number): void {
    this.#reserve(HEADER_BYTES);
    if (length < 0x10) {
      this.#slab[this.#position++] = 0x90 | length;
    } else if (length < 0x10000) {
      this.#slab[this.#position] = 0xdc;
      this.#view.setUint16(this.#position + 1, length);
      this.#position += 3;
    } else {
      this.#slab[this.#position] = 0xdd;
      this.#view.setUint32(this.#position + 1, length);
      this.#position += 5;
    }
  }

  nil(): void {
    this.#reserve(1);
    this.#slab[this.#position++] = 0xc0;
  }

  flag(value: boolean): void {
    this.#reserve(1);
    this.#slab[this.#position++] = value ? 0xc3 : 0xc2;
  }

  number(value: number): void {
    this.#reserve(NUMBER_BYTES);
    const at = this.#position;
    if (value >>> 0 !== value) {
      this.#uncommonNumber(value);
    } else if (value < 0x40) {
      // What would be larger small numbers elsewhere stands for shapes.
      this.#slab[at] = value;
      this.#position = at + 1;
    } else if (value < 0x100) {
      this.#slab[at] = 0xcc;
      this.#slab[at + 1] = value;
      this.#position = at + 2;
    } else if (value < 0x10000) {
      this.#slab[at] = 0xcd;
      this.#view.setUint16(at + 1, value);
      this.#position = at + 3;
    } else {
      this.#slab[at] = 0xce;
      this.#view.setUint32(at + 1, value);
      this.#position = at + 5;
    }
  }

  /** Fractions, negative numbers and those above 32 bits. There is room for them. */
  #uncommonNumber(value: number): void {
    const at = this.#position;
    if (value >> 0 !== value) {
      this.#slab[at] = 0xcb;
      this.#view.setFloat64(at + 1, value);
      this.#position = at + 9;
    } else if (value >= -0x20) {
      this.#slab[at] = 0x100 + value;
      this.#position = at + 1;
    } else if (value >= -0x80) {
      this.#slab[at] = 0xd0;
      this.#view.setInt8(at + 1, value);
      this.#position = at + 2;
    } else if (value >= -0x8000) {
      this.#slab[at] = 0xd1;
      this.#view.setInt16(at + 1, value);
      this.#position = at + 3;
    } else {
      this.#slab[at] = 0xd2;
      this.#view.setInt32(at + 1, value);
      this.#position = at + 5;
    }
  }

  text(value: string): void {
    const { length } = value;
    if (length >= SHORT_TEXT) {
      this.#longText(value);
      return;
    }
    this.#reserve(HEADER_BYTES + length);
    const slab = this.#slab;
    const first = this.#position + (length < 0x20 ? 1 : 2);
    for (let index = 0; index < length; index += 1) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) {
        this.#longText(value);
        return;
      }
      slab[first + index] = code;
    }
    this.#textHeader(length);
    this.#position = first + length;
  }

  bytes(value: Uint8Array): void {
    const length = value.byteLength;
    this.#reserve(HEADER_BYTES + length);
    const at = this.#position;
    if (length < 0x100) {
      this.#slab[at] = 0xc4;
      this.#slab[at + 1] = length;
      this.#position = at + 2;
    } else if (length < 0x10000) {
      this.#slab[at] = 0xc5;
      this.#view.setUint16(at + 1, length);
      this.#position = at + 3;
    } else {
      this.#slab[at] = 0xc6;
      this.#view.setUint32(at + 1, length);
      this.#position = at + 5;
    }
    this.raw(value);
  }

  /** A whole value that is MessagePack already. */
  raw(packed: Uint8Array): void {
    this.#reserve(packed.byteLength);
    this.#slab.set(packed, this.#position);
    this.#position += packed.byteLength;
  }

  #longText(value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(HEADER_BYTES + length);
    this.#textHeader(length);
    this.#position += this.#slab.write(value, this.#position);
  }

  #textHeader(length: number): void {
    const at = this.#position;
    if (length < 0x20) {
      this.#slab[at] = 0xa0 | length;
      this.#position = at + 1;
    } else if (length < 0x100) {
      this.#slab[at] = 0xd9;
      this.#slab[at + 1] = length;
      this.#position = at + 2;
    } else if (length < 0x10000) {
      this.#slab[at] = 0xda;
      this.#view.setUint16(at + 1, length);
      this.#position = at + 3;
    } else {
      this.#slab[at] = 0xdb;
      this.#view.setUint32(at + 1, length);
      this.#position = at + 5;
    }
  }

  /** Room for so many bytes more; takes a new slab, and what was begun with it, when this one is full. */
  #reserve(bytes: number): void {
    if (this.#position + bytes > this.#slab.length) this.#renew(bytes);
  }

  #renew(bytes: number): void {
    const begun = this.#slab.subarray(this.#start, this.#position);
    this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, 2 * (begun.length + bytes)));
    this.#view = new DataView(this.#slab.buffer);
    this.#slab.set(begun);
    this.#start = 0;
    this.#position = begun.length;
  }
}
