throw new Error("the file itself is broken");
