/** Let the browser keep a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\w.() -]/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
