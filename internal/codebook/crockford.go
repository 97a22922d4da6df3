package codebook

// crockford is Crockford's base 32: no I, L, O (they read as 1, 1, 0) and no U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// crockfordValue gives a character's value plus one; zero is no character.
var crockfordValue = [256]byte{
	'0': 1, 'O': 1, 'o': 1,
	'1': 2, 'I': 2, 'i': 2, 'L': 2, 'l': 2,
	'2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16, 'G': 17, 'H': 18,
	'J': 19, 'K': 20, 'M': 21, 'N': 22, 'P': 23, 'Q': 24, 'R': 25, 'S': 26,
	'T': 27, 'V': 28, 'W': 29, 'X': 30, 'Y': 31, 'Z': 32,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16, 'g': 17, 'h': 18,
	'j': 19, 'k': 20, 'm': 21, 'n': 22, 'p': 23, 'q': 24, 'r': 25, 's': 26,
	't': 27, 'v': 28, 'w': 29, 'x': 30, 'y': 31, 'z': 32,
}

// putCrockford writes the low 5·len(dst) bits of n, most significant first.
func putCrockford(dst []byte, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = crockford[n&31]
		n >>= 5
	}
}

// canonical is the one spelling of a character: upper case, aliases resolved.
func canonical(c byte) (byte, bool) {
	v := crockfordValue[c]
	if v == 0 {
		return 0, false
	}
	return crockford[v-1], true
}
